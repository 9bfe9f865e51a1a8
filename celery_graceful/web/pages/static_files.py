"""Stylesheet and script."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_graceful.web.http import Response
from celery_graceful.web.pages import failure
from celery_graceful.web.rendering.templates import STATIC, static_version

if TYPE_CHECKING:
    from celery_graceful.web.page_context import Context

_FILES = {
    "graceful.css": "text/css; charset=utf-8",
    "admin.css": "text/css; charset=utf-8",
    "graceful.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_A_YEAR = "public, max-age=31536000, immutable"


def page(context: Context) -> Response:
    """One of the files; with its version in the query, browsers keep it for good."""
    name = context.rest
    if name not in _FILES:
        return failure.no_page(context, ())
    tag = f'"{static_version(name)}"'
    same = context.request.query.get("v") == static_version(name)
    kept = ("Cache-Control", _A_YEAR if same else "no-cache")
    if context.request.header("if-none-match") == tag:
        return Response(304, (("ETag", tag), kept))
    headers = (("Content-Type", _FILES[name]), ("ETag", tag), kept)
    return Response(200, headers, (STATIC / name).read_bytes())
