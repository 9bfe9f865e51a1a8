"""What may be written as the value of a setting: parsers that raise :exc:`ValueError`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from celery_graceful import durations
from celery_graceful.text.masking import MASK, mask_text, mask_url

#: What becomes of a beat entry that is due during maintenance.
POLICIES = ("skip", "once", "all", "run")

#: Turns what the user wrote into the value used, or raises :exc:`ValueError`.
Parser: TypeAlias = Callable[[object], Any]


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
    """Options by their names, for whoever is given them."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{_type(value)} is not a mapping of options")
    return {parse_text(name): option for name, option in value.items()}


def parse_url(value: object) -> str:
    """A URL, by its scheme; whether it can be used is for the store to say."""
    text = parse_text(value)
    if not re.match(r"[A-Za-z][A-Za-z0-9+.\-]*://", text):
        raise ValueError("it does not begin with a scheme such as redis:// or sqlite:///")
    return text


def _type(value: object) -> str:
    article = "an" if type(value).__name__[0] in "aeio" else "a"
    return f"{article} {type(value).__name__}"


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
