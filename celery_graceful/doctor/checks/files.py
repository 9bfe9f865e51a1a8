"""GD0xx: what could not be examined. These are not looked for: reading and asking tells them."""

from __future__ import annotations

from celery_graceful.doctor.checks.base import Check
from celery_graceful.doctor.finding import Severity

UNREADABLE = Check(
    "GD001",
    Severity.ERROR,
    "A file that cannot be read: a template, wrong syntax, an unknown kind",
    "Nothing in it was examined.",
    "render templates first: `helm template . > rendered.yaml`",
    lambda _: (),
)
NO_WORKER = Check(
    "GD002",
    Severity.WARNING,
    "A file or folder in which no Celery worker is started",
    "Nothing in it was examined. Workers that an image starts by itself are in its Dockerfile.",
    "name the file that has the worker's command line",
    lambda _: (),
)
OTHER_APP = Check(
    "GD003",
    Severity.NOTE,
    "A worker of another app (a warning if there is none of this app)",
    "It was left out: its tasks and settings are not those of this app.",
    "`celery -A` with its app",
    lambda _: (),
)
NOT_ASKED = Check(
    "GD004",
    Severity.WARNING,
    "The store does not answer",
    "What it holds was not examined: which workers reported lately, and how long tasks took. Grace"
    " periods were compared with limits only.",
    "make the store reachable, or `--no-workers`",
    lambda _: (),
)
MISSING = Check(
    "GD005",
    Severity.WARNING,
    "A package that reading a file needs is not installed",
    "What it reads was not examined: PyYAML reads YAML, tree-sitter-bash reads shell commands that"
    " are more than one plain command.",
    "`pip install 'celery-graceful[doctor]'`",
    lambda _: (),
)
