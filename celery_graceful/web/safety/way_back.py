"""Where to go after a change: a page of this screen, whatever the form says."""

from __future__ import annotations

import re

#: A path of this screen and its query; no other host, no control character.
_OWN = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]{0,8000}")


def way_back(given: str, default: str = "/") -> str:
    """``given`` if it is a path below the mount, quoted as in an address; else ``default``."""
    return given if _OWN.fullmatch(given) else default
