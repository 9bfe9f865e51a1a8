"""``{% load celery_graceful %}``: links to runs in templates of the admin and of a project."""

from __future__ import annotations

from typing import Any

from django import template

from celery_graceful.contrib.django import run_links

register = template.Library()


@register.simple_tag(takes_context=True)  # type: ignore[untyped-decorator]
def run_link(context: Any, tag: Any) -> str:
    """A link to the run with a tag, for users who may see runs; see :func:`.run_links.run_link`.

    Args:
        context: with ``user``, as ``django.contrib.auth.context_processors.auth`` puts it there.
        tag: the tag, or an object of a model, whose tag is that of :func:`.run_links.run_tag`.
    """
    user = context.get("user") or getattr(context.get("request"), "user", None)
    if user is None:
        return ""
    return run_links.run_link(tag if isinstance(tag, str) else run_links.run_tag(tag), user=user)
