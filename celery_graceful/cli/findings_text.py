"""Findings of the doctor as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

import click

from celery_graceful.doctor.examine import Examination
from celery_graceful.doctor.facts.running_workers import Seen
from celery_graceful.doctor.finding import Finding, Severity
from celery_graceful.text.counting import counted
from celery_graceful.text.printable import printable
from celery_graceful.text.terminal import prose_width, wrapped

_COLORS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}
_INDENT = " " * 6


def findings_lines(findings: Iterable[Finding], app: str) -> Iterator[str]:
    """The findings, file by file; each reason once."""
    explained: set[str] = set()
    for file, group in groupby(findings, key=lambda finding: finding.file):
        yield click.style(printable(file or f"Configuration of {app}"), bold=True)
        for finding in group:
            yield from _lines(finding, why=finding.id not in explained)
            explained.add(finding.id)
        yield ""


def _lines(finding: Finding, *, why: bool) -> Iterator[str]:
    word = click.style(f"{finding.severity.word} {finding.id}", fg=_COLORS[finding.severity])
    at = f"line {finding.line}" if finding.file and finding.line else finding.subject
    yield f"  {word}{f' {printable(at)}' if at else ''}"
    yield from _block(printable(f"{finding.what.rstrip('.')}."))
    if why:
        yield from _block(f"Why: {finding.why}")
    # A line to copy is not wrapped, and nothing follows it.
    to_write, _, instead = printable(finding.fix).partition("; or ")
    yield f"{_INDENT}Fix: {to_write}"
    if instead:
        yield from _block(f"or {instead}")


def _block(text: str) -> Iterator[str]:
    return (_INDENT + line for line in wrapped(text, prose_width() - len(_INDENT)))


def examined_line(examined: Examination, findings: list[Finding], seen: Seen | None) -> str:
    """The last line: what was found, and what was examined."""
    counts = [
        _counted(sum(f.severity is severity for f in findings), severity.word)
        for severity in (Severity.ERROR, Severity.WARNING, Severity.NOTE)
    ]
    found = ", ".join(filter(None, counts)) or "Nothing is wrong"
    running = "" if seen is None else f", {seen.workers} running"
    files = len({worker.place.file for worker in examined.workers})
    workers = _counted(len(examined.workers), "worker")
    deployed = f", {workers} in {_counted(files, 'file')}" if workers else ""
    return f"{found}. Examined: the configuration{deployed}{running}."


def _counted(number: int, word: str) -> str:
    return counted(number, word) if number else ""
