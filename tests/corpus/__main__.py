"""``python -m tests.corpus``: what the doctor says of public deployment files.

Fetches the files of ``files.txt`` into a folder, or reads them from one that is there (``--from``),
and prints an answer for each: workers with file and line, what could not be read, and findings.
Ends with exit code 1 if a file ends the doctor with an error, or takes longer than a tenth of a
second of processor time for each 100,000 bytes.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from celery_graceful.doctor.examine import Examination, examine
from celery_graceful.doctor.facts import AppFacts, Kind, TaskFacts
from celery_graceful.doctor.readers import read_files
from tests.corpus.listed import Listed, fetch, listed

#: Seconds of processor time that a file may take, for each 100,000 bytes begun.
MOST, BYTES = 0.1, 100_000
#: An app like many: a plain task that is acked early, and an iterable one, wherever they go.
APP = AppFacts(
    name="public",
    broker="redis",
    tasks=(TaskFacts("plain"), TaskFacts("iterable", Kind.ITERABLE, "", True, True)),
    store_url="redis://localhost/0",
)


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def answer_for(each: Listed, folder: Path) -> tuple[Examination, float]:
    """What the doctor says of a file, and the best of three times in seconds."""
    best = float("inf")
    with _inside(folder / each.folder):
        for _ in range(3):
            began = time.thread_time()
            examined = examine(APP, read_files([each.path]))
            best = min(best, time.thread_time() - began)
    return examined, best


def shown(each: Listed, examined: Examination, seconds: float) -> Iterator[str]:
    """The answer for people: a line for each worker and each finding."""
    yield f"{each.repository} {each.commit[:12]} {each.path} ({seconds * 1000:.1f} ms)"
    for worker in examined.workers:
        queues = worker.command.options.get("queues", "-")
        app = worker.command.options.get("app", "-")
        at = f"{worker.started_at.file}:{worker.started_at.line}"
        yield f"    worker {worker.name} at {at}, app {app}, queues {queues}"
    for finding in examined.findings:
        yield f"    {finding.severity.word} {finding.id} {finding.where}: {finding.what}"
        yield f"        {finding.fix}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.corpus", description=__doc__)
    parser.add_argument("--from", dest="folder", type=Path, help="read the files from this folder")
    parser.add_argument("--to", type=Path, default=Path(".corpus"), help="fetch them to this one")
    parser.add_argument("--only", default="", help="files whose repository or path has this in it")
    options = parser.parse_args()
    folder: Path = options.folder or options.to
    times, failed, missing = [], [], 0
    for each in listed():
        if options.only not in f"{each.repository} {each.path}":
            continue
        trouble = None if options.folder else fetch(each, folder)
        if trouble or not (folder / each.folder / each.path).is_file():
            print(f"{each.repository} {each.path}: {trouble or 'it is not there'}")
            missing += 1
            continue
        try:
            examined, seconds = answer_for(each, folder)
        except Exception as exc:
            failed.append(f"{each.repository} {each.path}: {exc!r}")
            continue
        times.append(seconds)
        size = (folder / each.folder / each.path).stat().st_size
        if seconds > MOST * (1 + size // BYTES):
            failed.append(f"{each.repository} {each.path} takes {seconds:.2f} s")
        print("\n".join(shown(each, examined, seconds)))
    times.sort()
    if times:
        print(f"{len(times)} files; median {times[len(times) // 2] * 1000:.1f} ms,", end=" ")
        print(f"longest {times[-1] * 1000:.1f} ms; {missing} not there")
    print("\n".join(failed))
    return 1 if failed or not times else 0


if __name__ == "__main__":
    sys.exit(main())
