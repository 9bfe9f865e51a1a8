"""One setting: what may be written as its value, and how a wrong value is reported."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from celery_graceful import durations
from celery_graceful.text.masking import MASK, mask_text, mask_url

PREFIX = "graceful_"
#: What is done with a beat entry that is due during maintenance.
POLICIES = ("skip", "once", "all", "run")

#: Turns what the user wrote into the value used, or raises :exc:`ValueError`.
Parser: TypeAlias = Callable[[object], Any]


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the table of settings."""

    #: The name as in ``app.conf``, with the prefix.
    name: str
    #: Turns what the user wrote into the value used; raises :exc:`ValueError`.
    parse: Parser
    #: The value used when the user wrote nothing.
    default: Any
    #: What is expected, for messages and the documentation.
    expected: str
    #: Something right to write, as Python source.
    example: str
    meaning: str
    #: ``"seconds"`` for times, else empty.
    unit: str = ""

    @property
    def attribute(self) -> str:
        """The name without its prefix, as in :class:`Settings` and as a task's option."""
        return self.name.removeprefix(PREFIX)

    @property
    def default_text(self) -> str:
        """The default for the documentation."""
        if self.unit and self.default is not None:
            return f"`{self.default:g}` ({durations.format_seconds(self.default)})"
        if isinstance(self.default, frozenset):
            return f"`{sorted(self.default)!r}`"
        if isinstance(self.default, Mapping):
            return f"`{dict(self.default)!r}`"
        return f"`{self.default!r}`"


# -- parsers ---------------------------------------------------------------------------------


def seconds(*, above: float | None = None, least: float = 0) -> Parser:
    """A parser of durations that are more than ``above`` and at least ``least`` seconds."""

    def parse(value: object) -> float:
        number = durations.parse(value)
        if above is not None and number <= above:
            raise ValueError(f"it must be more than {above:g}")
        if number < least:
            raise ValueError(f"it must be {durations.format_seconds(least)} or more")
        return number

    return parse


def optional(parse: Parser) -> Parser:
    """A parser that takes ``None`` too."""
    return lambda value: None if value is None else parse(value)


def one_of(*names: str) -> Parser:
    """A parser that takes one of a few names."""

    def parse(value: object) -> str:
        if not isinstance(value, str) or value not in names:
            raise ValueError(f"{value!r} is none of {', '.join(names)}")
        return value

    return parse


def parse_whole(value: object) -> int:
    """A whole number, 0 or more; not a bool, which Python counts among them."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{_type(value)} is not a whole number")
    if value < 0:
        raise ValueError("it must be 0 or more")
    return value


def parse_switch(value: object) -> bool:
    """True or False and nothing else."""
    if not isinstance(value, bool):
        raise ValueError(f"{_type(value)} is not True or False")
    return value


def parse_text(value: object) -> str:
    """A text that is not empty."""
    if not isinstance(value, str):
        raise ValueError(f"{_type(value)} is not a text")
    if not value.strip():
        raise ValueError("it is empty; use None, or leave it out")
    return value


def parse_names(value: object) -> frozenset[str]:
    """Names in a list, tuple or set, or texts separated by commas."""
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, (list, tuple, set, frozenset)):
        raise ValueError(f"{_type(value)} is not a list of names")
    return frozenset(parse_text(name).strip() for name in value)


def parse_mask(value: object) -> frozenset[str] | Callable[..., Any]:
    """A function, or names as :func:`parse_names` takes them."""
    return value if callable(value) else parse_names(value)


def parse_policies(value: object) -> Mapping[str, str]:
    """A policy for all beat entries, or policies by the name or pattern of entries."""
    given = {"*": value} if isinstance(value, str) else value
    if not isinstance(given, Mapping):
        raise ValueError(f"{_type(value)} is neither a policy nor a mapping of entries to policies")
    for policy in given.values():
        if policy not in POLICIES:
            raise ValueError(f"{policy!r} is none of {', '.join(POLICIES)}")
    return {parse_text(name): policy for name, policy in given.items()}


def parse_options(value: object) -> Mapping[str, Any]:
    """Options by their names."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{_type(value)} is not a mapping of options")
    return {parse_text(name): option for name, option in value.items()}


def parse_url(value: object) -> str:
    """A URL, by its scheme; whether it can be used, the store says."""
    text = parse_text(value)
    if not re.match(r"([\w.:]+\+)?[A-Za-z][\w+.\-]*://", text):
        raise ValueError("it does not begin with a scheme such as redis:// or sqlite:///")
    return text


def _type(value: object) -> str:
    article = "an" if type(value).__name__[0] in "aeio" else "a"
    return f"{article} {type(value).__name__}"


# -- messages --------------------------------------------------------------------------------


def wrong_value(what: str, value: object, why: ValueError, expected: str, example: str) -> str:
    """The message for ``what`` (a setting or an option) whose parser refused ``value``."""
    # Options may hold a password under any name.
    shown = MASK if what.lower().endswith("options") else mask_text(repr(value))
    if isinstance(value, str) and _may_be_address(what, value):
        shown = repr(mask_url(value))
    reason = _reason(why, value)
    return f"{what} = {shown} is wrong: {reason}. Expected: {expected}. Example: {example}"


def _may_be_address(what: str, value: str) -> bool:
    return "@" in value or "://" in value or what.lower().endswith("graceful_store")


def _reason(why: ValueError, value: object) -> str:
    """Why, without the value itself: the message shows it already, and without passwords."""
    text = str(why)
    shown = f"{value!r} "
    return f"it {text.removeprefix(shown)}" if text.startswith(shown) else mask_text(text)
