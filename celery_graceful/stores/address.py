"""Store addresses as people may see them: without the password."""

from __future__ import annotations

import re

__all__ = ["without_password"]

_PART = re.compile(r";(?=[\w+]+://)")
_USERINFO = re.compile(r"://(?P<info>[^/?][^?]*)@")
_SECRET = re.compile(r"(?P<name>[?&;][^=&;]*(?:pass(?:word|wd)?|secret|token)=)[^&;]*", re.I)


def without_password(url: str) -> str:
    """Hide what is secret in a store URL.

    Args:
        url: Any store URL, also one that cannot be parsed; several joined by ``;`` are allowed.

    Returns:
        The URL with ``***`` in place of every password, in the user part as well as in the query.
    """
    return ";".join(_hidden(part) for part in _PART.split(url))


def _hidden(url: str) -> str:
    # Greedy up to the last "@": an unescaped password may hold "@" and "/" itself.
    shown = _USERINFO.sub(_user, url)
    return _SECRET.sub(r"\g<name>***", shown)


def _user(match: re.Match[str]) -> str:
    user, colon, _ = match["info"].partition(":")
    return f"://{user}:***@" if colon else "://***@"
