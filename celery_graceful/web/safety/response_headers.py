"""What every response is sent with: security headers, the ETag, the form token."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING

from celery_graceful.web.http import Response
from celery_graceful.web.rendering.templates import TOKEN
from celery_graceful.web.safety import form_tokens

if TYPE_CHECKING:
    from celery_graceful.web.page_context import Context

POLICY = "; ".join((
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:",
    "connect-src 'self'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'",
))  # fmt: skip
_ALWAYS = (
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    # Not "no-referrer": with it, browsers send "Origin: null" with forms.
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
    ("X-Robots-Tag", "noindex, nofollow"),
)
_PRIVATE = (("Cache-Control", "private, no-cache"), ("Vary", "Cookie"))


def finished(context: Context, response: Response) -> Response:
    """The response as it is sent."""
    headers = [*response.headers, *_ALWAYS]
    if not response.header("Cache-Control"):
        headers += _PRIVATE
    response = replace(response, headers=tuple(headers))
    if response.header("Content-Type").startswith("text/html"):
        response = _as_page(context, response)
    if context.request.method == "HEAD":
        response = replace(response, body=b"")
    return response


def _as_page(context: Context, response: Response) -> Response:
    """With its form tokens; 304 when the browser has the page as it is.

    The tokens are put in after the ETag was computed: those of some frameworks differ each time.
    """
    request, headers = context.request, list(response.headers)
    if request.safe and response.status == 200:
        tag = f'"{hashlib.sha256(response.body).hexdigest()[:32]}"'
        headers.append(("ETag", tag))
        if _has(request.header("if-none-match"), tag):
            kept = tuple(each for each in headers if each[0] != "Content-Type")
            return Response(304, kept)
    marker = TOKEN.encode()
    if marker not in response.body:
        return replace(response, headers=tuple(headers))
    if request.token is not None:
        token = request.token[1]
    else:
        token = form_tokens.token_of(request, context.screen.options)
        if not token:
            token = form_tokens.new_token()
            headers.append(context.cookie(form_tokens.NAME, token))
    body = response.body.replace(marker, escape(token).encode())
    return Response(response.status, tuple(headers), body)


def _has(given: str, tag: str) -> bool:
    """Whether the browser has the page; a proxy that compresses marks tags as weak."""
    return any(each.strip().removeprefix("W/") == tag for each in given.split(","))
