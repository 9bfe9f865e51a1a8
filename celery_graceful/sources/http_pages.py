"""Items of an API that answers in pages, resumable at an item of a page."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

from celery_graceful.errors import CursorError, SourceError, TokenExpired
from celery_graceful.sources.combining import as_json
from celery_graceful.sources.skipping import SKIPPED, UNMOVED, SkippingSource
from celery_graceful.text.counting import counted

_Item = TypeVar("_Item")

_NAME = "sources.pages"
_SHAPE = "[token, index in the page], with key= [token, index in the page, key]"


def pages(
    function: Callable[[Any], tuple[Iterable[_Item], Any]],
    *,
    cursor: Sequence[Any] | None = None,
    key: Callable[[_Item], Any] | None = None,
    expired: type[Exception] | tuple[type[Exception], ...] = TokenExpired,
    on_expired: Literal["error", "restart"] = "error",
    on_missing: Literal["error", "repeat"] = "error",
) -> SkippingSource[_Item, list[Any]]:
    """The items of an API that answers in pages; the cursor is [token of the page, index in it].

    ``function(token)`` requests a page with whatever HTTP library you use, and returns its items
    and the token of the next page: a page number, an offset, a token or URL that the API gave. The
    token of the first page is ``None``. ``None`` or ``""`` as the next token says that the page is
    the last. A page is requested when its first item is needed; behind the last item of a page the
    cursor has the next page's token already.

    When a run is resumed within a page, that page is requested again. If it may have changed
    since, give ``key``, which returns what an item is known by, such as its id: the cursor then
    ends with the key of the last item, and the page continues behind that item wherever it is now.
    Without a key, the page has to be the same.

    Args:
        function: returns ``(items, next_token)`` for a token; the items as a list.
        cursor: the last cursor that was yielded; ``None`` for the first page.
        key: returns an item's key, a value that a cursor may have, unique among all items.
        expired: the exceptions by which ``function`` says that the API does not accept a token any
            more.
        on_expired: ``"restart"``: begin at the first page, and leave out the items up to and
            including the last one that is done, which needs ``key``.
        on_missing: what to do when the item that the cursor names is not there any more.
            ``"repeat"``: do the items of the page again; after an expired token, all items.

    Raises:
        CursorError: the cursor is none of this source.
        SourceError: at the first item: a token has expired, the page of the cursor is shorter now,
            or its item is not there any more. Later: a page names itself, or an earlier page, as
            the next one. What ``function`` raises is passed on.
    """
    _check_options(function, key, expired, on_expired, on_missing)
    place = _place(cursor, has_key=key is not None)
    options = _Options(function, key, expired, on_expired == "restart", on_missing == "repeat")
    return SkippingSource(_Pages(options, place).items())


class _Options(NamedTuple):
    function: Callable[[Any], Any]
    key: Callable[[Any], Any] | None
    expired: type[Exception] | tuple[type[Exception], ...]
    restarts: bool
    repeats: bool


class _Place(NamedTuple):
    """Where a run is: the token of a page, and the number and key of the last item done.

    The number is -1 at the start of a page.
    """

    token: Any = None
    number: int = -1
    key: Any = None
    has_key: bool = False


class _Pages:
    """One pass over the pages, from a place on."""

    def __init__(self, options: _Options, place: _Place) -> None:
        self._options = options
        self._place = place
        self._loops = _LoopGuard()
        #: Whether the page of the last item done is looked for, from the first page on.
        self._seeks = False
        self._may_restart = True

    def items(self) -> Generator[tuple[Any, Any], None, None]:
        """Its pairs and markers."""
        while True:
            token = self._place.token
            try:
                items, following = self._read(token)
            except self._options.expired as exc:
                self._restart(exc)
                continue
            self._loops.check(token, following)
            begin = self._begin(items)
            if begin is None and following is None:
                self._repeat_all()
                continue
            if begin is None:
                yield SKIPPED, UNMOVED
            else:
                for index in range(begin, len(items)):
                    yield items[index], self._done(token, index, items, following)
            if following is None:
                return
            self._place = self._place._replace(token=following, number=-1)
            if begin is not None and begin >= len(items):
                yield SKIPPED, self._cursor()

    def _read(self, token: Any) -> tuple[list[Any], Any]:
        answer = self._options.function(token)
        try:
            items, following = answer
            if isinstance(items, (str, bytes, dict)):
                raise TypeError
            return list(items), None if following == "" else following
        except (TypeError, ValueError):
            raise SourceError(
                f"{_NAME}: the function has to return (items, next_token), the items as a list, and"
                f" returned {answer!r:.200} for the token {token!r:.200}"
            ) from None

    # -- where to begin ---------------------------------------------------------------------

    def _begin(self, items: list[Any]) -> int | None:
        """The index of the first item to do; ``None``: the last one done is not on this page."""
        place, key = self._place, self._options.key
        if place.number < 0 and not self._seeks:
            return 0
        if not place.has_key or key is None:
            if place.number < len(items):
                return place.number + 1
            raise SourceError(
                f"{_NAME}: the page of the token {place.token!r:.200} has"
                f" {counted(len(items), 'item')} now, and item {place.number}, counted from 0, was"
                " the last one done; the page has changed. With key=, as in key=lambda item:"
                " item['id'], a run continues behind that item wherever it is; with the cursor"
                f" {[place.token, -1]!r:.200} it does the page again"
            )
        wanted = as_json(place.key)
        for index, item in enumerate(items):
            if as_json(key(item)) == wanted:
                self._seeks = False
                return index + 1
        if self._seeks:
            return None
        if not self._options.repeats:
            raise self._missing(f"on the page of the token {place.token!r:.200}")
        return 0

    def _repeat_all(self) -> None:
        """The last item done is on no page: begin with the first one, and leave nothing out."""
        if not self._options.repeats:
            raise self._missing("on any page")
        self._seeks = False
        self._loops = _LoopGuard()
        self._place = _Place()

    def _missing(self, where: str) -> SourceError:
        return SourceError(
            f"{_NAME}: the last item that was done, {self._place.key!r:.200}, is not {where} any"
            " more: deleted, or moved to another page. With on_missing='repeat' the run does the"
            " page again, and after an expired token all items, which must be idempotent"
        )

    def _restart(self, exc: Exception) -> None:
        """A token has expired: look for the last item done, from the first page on.

        Raises:
            SourceError: that is not wanted, or not possible.
        """
        place = self._place
        said = f"{_NAME}: the token {place.token!r:.200} has expired ({exc!r:.200})"
        if place.token is None:
            raise SourceError(
                f"{_NAME}: the function raised {exc!r:.200} for the first page, which has no token"
            ) from exc
        if not self._options.restarts or not place.has_key:
            raise SourceError(
                f"{said}. With on_expired='restart' and key=, as in key=lambda item: item['id'], a"
                " run begins at the first page and leaves out the items up to the last one done."
                " This run can be started again at the first page with cursor=None"
            ) from exc
        if not self._may_restart:
            raise SourceError(
                f"{said}, again before any further item was reached: its tokens do not last as"
                " long as it takes to reach the last item done"
            ) from exc
        self._may_restart = False
        self._loops = _LoopGuard()
        self._seeks = True
        self._place = place._replace(token=None, number=-1)

    # -- cursors ----------------------------------------------------------------------------

    def _done(self, token: Any, index: int, items: list[Any], following: Any) -> list[Any]:
        """The cursor behind an item: on the next page, if it is the last of its page."""
        self._may_restart = True
        key, has_key = None, self._options.key is not None
        if self._options.key is not None:
            key = self._options.key(items[index])
        if index == len(items) - 1 and following is not None:
            token, index = following, -1
        self._place = _Place(token, index, key, has_key)
        return self._cursor()

    def _cursor(self) -> list[Any]:
        token, number, key, has_key = self._place
        return [token, number, key] if has_key else [token, number]


class _LoopGuard:
    """Sees that the tokens of pages go round in a circle, in the memory of one token.

    See https://en.wikipedia.org/wiki/Cycle_detection#Brent's_algorithm.
    """

    def __init__(self) -> None:
        self._kept: Any = None  # the token of the first page, and then of later ones
        self._since, self._until = 0, 1

    def check(self, token: Any, following: Any) -> None:
        """The page of ``following`` comes after that of ``token``; ``None``: it is the last."""
        if following is not None and following in (token, self._kept):
            what = "itself" if following == token else "a page that was done"
            raise SourceError(
                f"{_NAME}: the page of the token {token!r:.200} names {what} as the next one"
                f" ({following!r:.200}), so the pages would never end. Return None as the next"
                " token of the last page. An API whose token stays the same keeps the place by"
                " itself, and cannot be resumed"
            )
        self._since += 1
        if self._since == self._until:
            self._kept, self._since, self._until = following, 0, 2 * self._until


def _place(cursor: Any, *, has_key: bool) -> _Place:
    if cursor is None:
        return _Place()
    if not isinstance(cursor, (list, tuple)) or len(cursor) not in (2, 3):
        raise _foreign(cursor)
    token, index, *key = cursor
    if isinstance(index, bool) or not isinstance(index, int) or index < -1:
        raise _foreign(cursor)
    if key and not has_key:
        raise CursorError(
            f"{_NAME}: the cursor {cursor!r:.200} has the key of an item; pass key= as before"
        )
    return _Place(token, index, key[0] if key else None, bool(key))


def _foreign(cursor: object) -> CursorError:
    return CursorError(
        f"{_NAME}: the cursor must be {_SHAPE}, or None, not {cursor!r:.200}; pass on the cursor"
        " that the source yielded"
    )


def _check_options(function: Any, key: Any, expired: Any, on_expired: Any, on_missing: Any) -> None:
    if not callable(function):
        raise TypeError(
            f"{_NAME} needs a function that takes a token and returns (items, next_token), not"
            f" {function!r:.200}"
        )
    if key is not None and not callable(key):
        raise TypeError(f"{_NAME}: key must be a function of an item, not {key!r:.200}")
    kinds = expired if isinstance(expired, tuple) else (expired,)
    if not all(isinstance(each, type) and issubclass(each, Exception) for each in kinds):
        raise TypeError(f"{_NAME}: expired must be an exception class, not {expired!r:.200}")
    if on_expired not in ("error", "restart"):
        raise ValueError(f'{_NAME}: on_expired must be "error" or "restart", not {on_expired!r}')
    if on_missing not in ("error", "repeat"):
        raise ValueError(f'{_NAME}: on_missing must be "error" or "repeat", not {on_missing!r}')
    if on_expired == "restart" and key is None:
        raise ValueError(
            f'{_NAME}: on_expired="restart" needs key=, by which the last item done is found again,'
            " such as key=lambda item: item['id']"
        )
