"""The templates: everything in them is escaped, and a name that is not there is an error."""

from __future__ import annotations

import hashlib
import secrets
from functools import cache
from pathlib import Path
from typing import Any

from celery_graceful.errors import SettingsError
from celery_graceful.text.printable import printable
from celery_graceful.web.rendering import shown_values

_WEB = Path(__file__).resolve().parents[1]
STATIC = _WEB / "static"
#: Stands in pages for the form token until they are sent. Nobody outside can guess it.
TOKEN = f"token-{secrets.token_hex(16)}"
#: Characters of a value; what is longer is cut, wherever it is shown.
LONGEST = 20_000


class Templates:
    """The templates of ``web/templates/``.

    Args:
        first: a folder whose templates come before those of the same names.
    """

    def __init__(self, first: Path | None = None) -> None:
        try:
            from jinja2 import Environment, FileSystemLoader, StrictUndefined
        except ImportError as exc:
            raise SettingsError(
                "The web screen needs packages that are not installed:"
                " pip install 'celery-graceful[web]'"
            ) from exc
        self._env = Environment(
            loader=FileSystemLoader([*([first] if first else []), _WEB / "templates"]),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=_finalized,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._env.globals.update(token_marker=TOKEN, static_version=static_version)
        self._env.filters.update(shown_values.FILTERS)

    def render(self, name: str, /, **values: Any) -> str:
        """The text of a template with these values."""
        return self._env.get_template(name).render(**values)


def _finalized(value: Any) -> Any:
    """A value as it may be shown, before HTML's own characters are escaped in it."""
    from markupsafe import Markup

    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    if len(value) > LONGEST:
        value = f"{value[:LONGEST]}… ({len(value):,} characters)"
    return printable(value)


@cache
def static_version(name: str) -> str:
    """Changes with the file's content: browsers may keep it as long as it is the same."""
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
