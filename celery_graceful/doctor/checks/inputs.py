"""GD0xx: what could not be examined, and an app without the plugin."""

from __future__ import annotations

from celery_graceful.doctor.checks.check import Check, Facts, Problem, Problems, app_check
from celery_graceful.doctor.facts import Kind
from celery_graceful.doctor.finding import ERROR, NOTE, WARNING, named

UNREADABLE = Check(
    "GD001",
    ERROR,
    "A file that cannot be read: a template, wrong syntax, an unknown kind",
    why="Nothing in it was examined.",
    fix="render templates first: `helm template . > rendered.yaml`",
)
NO_WORKER = Check(
    "GD002",
    WARNING,
    "A file or folder in which no Celery worker is started",
    why="Nothing in it was examined. Workers that an image starts by itself are in its Dockerfile.",
    fix="name the file that has the worker's command line",
)
OTHER_APP = Check(
    "GD003",
    NOTE,
    "A worker of another app (a warning if there is none of this app)",
    why="It was left out: its tasks and settings are not those of this app.",
    fix="`celery -A` with its app",
)
NOT_ASKED = Check(
    "GD004",
    WARNING,
    "The store does not answer",
    why="Its contents were not examined: which workers reported lately, and how long tasks took."
    " Grace periods were compared with limits only.",
    fix="make the store reachable, or `--no-workers`",
)
MISSING = Check(
    "GD005",
    WARNING,
    "A package that reading a file needs is not installed",
    why="What it reads was not examined: PyYAML reads YAML, tree-sitter-bash reads shell commands"
    " that are more than one plain command.",
    fix="`pip install 'celery-graceful[doctor]'`",
)


@app_check(
    "GD010",
    ERROR,
    "Iterable tasks or `GracefulTask` in an app without `Graceful(app)`",
    why="Workers of this app do not stop gracefully: nothing raises the stop flag, no lease is"
    " renewed, no run is rescued, and maintenance does not hold them.",
    fix="`graceful = Graceful(app)`, below `app = Celery(…)`",
)
def not_plugged(facts: Facts) -> Problems:
    names = [task.name for task in facts.app.of_kind(Kind.ITERABLE, Kind.GRACEFUL)]
    if names and not facts.app.plugged:
        yield Problem(
            f"Graceful(app) is not called, and these tasks need it: {named(names)}",
            "graceful = Graceful(app)",
            setting="Graceful",
        )
