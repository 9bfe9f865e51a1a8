"""Command lines as they should be written, made from those that are."""

from __future__ import annotations

import json
import re
import shlex

from celery_graceful.doctor.commands.shell_syntax import plain_words
from celery_graceful.doctor.commands.worker_command import FLAGS, OPTIONS, Command, Shell
from celery_graceful.doctor.facts import Deployed, Manager

_CONTINUED = re.compile(r"\s*\\\n\s*")
#: What a program does not get as it is written.
_NEEDS_SHELL = re.compile(r"[$~{]")
_SINGLE_PERCENT = re.compile(r"(?<!%)%[hd](?!\w)")


def doubled_percents(text: str, worker: Deployed) -> str:
    """A node name or line with ``%h`` as systemd and supervisord want it: ``%%h``."""
    if worker.manager not in (Manager.SYSTEMD, Manager.SUPERVISORD):
        return text
    return _SINGLE_PERCENT.sub(r"%\g<0>", text)


def starting_line(worker: Deployed, stays: Shell) -> str:
    """The line that lets the worker take the place of a shell that stays in front of it.

    The program in front of the worker is kept, and so is a shell where variables need one.
    """
    text, source = worker.start_text, stays.source
    line = _CONTINUED.sub(" ", source)
    executing = line if line.startswith("exec ") else f"exec {line}"
    if not stays.script:
        executing = doubled_percents(executing, worker)
    if stays.script or not text or not text.startswith(source, stays.at):
        return executing
    words = plain_words(line) if text.strip() == source and not _NEEDS_SHELL.search(line) else None
    if words:
        return f"{worker.start_form} {json.dumps(words)}"
    if stays.piped or stays.background or not stays.last:
        return f"{worker.start_form} {executing}"
    before, behind = text[: stays.at], text[stays.at + len(source) :]
    return f"{worker.start_form} {_CONTINUED.sub(' ', before)}{executing}{behind}"


def in_foreground(command: Command) -> str:
    """The line that starts a worker without ``--detach`` and without ``celery multi``."""
    detach = FLAGS["detach"]
    if not command.multi:
        words = [word for word in command.words if word not in detach]
        return shlex.join(words).replace("'", "") if "$" in "".join(words) else shlex.join(words)
    program = "celery" if command.words[0].startswith("$") else command.words[0]
    names = {name: options[0] for name, options in OPTIONS.items()}
    node = command.nodes[0] if command.nodes else None
    options = {**command.options, **(node.options if node else {})}
    app = options.pop("app", "")
    given = [f"{names[name]} {value}" for name, value in options.items()]
    return " ".join([program, *(["-A", app] if app else []), "worker", *given])


def with_variable(command: Command, variable: str) -> str:
    """The text of a Procfile's process with a variable directly in front of its worker."""
    at = command.shells[0].at if command.shells and not command.shells[0].script else 0
    return f"{command.text[:at]}{variable} {command.text[at:]}"
