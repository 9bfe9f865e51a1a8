"""A request and a response, free of any framework."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

#: Permissions: to see, to change runs, to start runs, to change the maintenance mode.
VIEW, OPERATE, START, MAINTAIN = "view", "operate", "start", "maintain"
PERMISSIONS = frozenset((VIEW, OPERATE, START, MAINTAIN))


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of a query or a form, in their order; a name may be there several times."""

    pairs: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, given: Mapping[str, str | Iterable[str]]) -> Fields:
        """The fields of a dict, whose values are texts or lists of texts."""
        return cls(
            tuple(
                (name, value)
                for name, values in given.items()
                for value in ((values,) if isinstance(values, str) else values)
            )
        )

    def get(self, name: str, default: str = "") -> str:
        """The first value of a field."""
        return next((value for key, value in self.pairs if key == name), default)

    def all(self, name: str) -> tuple[str, ...]:
        """All values of a field."""
        return tuple(value for key, value in self.pairs if key == name)

    def __contains__(self, name: object) -> bool:
        return any(key == name for key, _ in self.pairs)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.pairs)

    def __bool__(self) -> bool:
        return bool(self.pairs)


@dataclass(frozen=True, slots=True)
class Request:
    """What a browser asks for."""

    method: str
    #: Below the mount, decoded; begins with ``/``.
    path: str
    query: Fields = Fields()
    form: Fields = Fields()
    #: By their names in lower case.
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Who asks, as the mounting app knows them; ``None``: nobody has logged in.
    user: str | None = None
    #: What they may do: names of :data:`PERMISSIONS`.
    can: frozenset[str] = frozenset()
    #: What all paths of the screen begin with; empty, or ``/graceful``.
    mount: str = ""
    #: Whether it came by HTTPS.
    secure: bool = False
    #: The address of the peer; behind trusted proxies, the client's.
    address: str = ""
    #: Host and port as the browser named them, if a trusted proxy says so.
    forwarded_host: str = ""
    #: Name and value of the mounting framework's own form token, which it has checked; ``None``:
    #: the screen has one of its own.
    token: tuple[str, str] | None = None

    @property
    def safe(self) -> bool:
        """Whether it can change nothing."""
        return self.method in ("GET", "HEAD")

    @property
    def host(self) -> str:
        """Host and port as the browser named them."""
        return self.forwarded_host or self.header("host")

    @property
    def poll(self) -> bool:
        """Whether the script of an open page asks, and not a person."""
        return "x-graceful-poll" in self.headers

    def header(self, name: str) -> str:
        """A header's value; empty without it."""
        return self.headers.get(name, "")


@dataclass(frozen=True, slots=True)
class Response:
    """What is sent back."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def header(self, name: str) -> str:
        """A header's value; empty without it."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), "")


def text_response(status: int, text: str, kind: str = "text/plain") -> Response:
    """A short text."""
    return Response(status, (("Content-Type", f"{kind}; charset=utf-8"),), text.encode())
