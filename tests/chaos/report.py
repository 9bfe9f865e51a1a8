"""The summary of a chaos run, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from tests.chaos.evidence import Evidence
from tests.chaos.recovery import Recovery, percentile
from tests.chaos.verdict import Verdict

_MOST = 20


def summary(evidence: Evidence, verdict: Verdict) -> Iterator[str]:
    """Its lines."""
    ended = sum(run.ended for run in evidence.sent)
    atomic = sum(run.atomic for run in evidence.sent)
    kinds = Counter(fault.kind for fault in evidence.faults)
    yield f"runs       {verdict.runs} ({atomic} atomic), {ended} ended"
    if verdict.never_admitted:
        yield f"           {verdict.never_admitted} were never admitted: the broker lost them"
    yield f"items      {verdict.items}"
    yield f"faults     {len(evidence.faults)}"
    for kind, count in sorted(kinds.items()):
        yield f"  {kind:15} {count:4}"
    yield f"lost       {verdict.lost}"
    yield (
        f"repeated   {verdict.repeated('graceful')} graceful, {verdict.repeated('crash')} crash, "
        f"{verdict.repeated('outage')} outage, {verdict.repeated('atomic')} atomic"
    )
    yield _times("recovery", [found.seconds for found in verdict.recoveries], "after a crash")
    yield _times("hand-over", verdict.hand_overs, "to the next execution")
    yield _times("stops", evidence.stops, "from SIGTERM to the worker's end")
    for found in verdict.recoveries[-3:]:
        yield f"  slow: {_told(found)}"
    if not verdict.failures:
        yield "PASSED"
        return
    yield f"FAILED: {len(verdict.failures)}"
    for failure in verdict.failures[:_MOST]:
        yield f"  {failure}"
    if len(verdict.failures) > _MOST:
        yield f"  and {len(verdict.failures) - _MOST} more"


def _times(what: str, seconds: Sequence[float], of: str) -> str:
    return (
        f"{what:10} {percentile(seconds, 0.5):.2f} s median, {percentile(seconds, 0.99):.2f} s "
        f"99th percentile, {max(seconds, default=0.0):.2f} s longest ({len(seconds)} {of})"
    )


def _told(found: Recovery) -> str:
    return (
        f"{found.seconds:.2f} s for {found.run} after fault {found.fault.number} "
        f"({found.fault.kind}); {found.queued:.2f} s in the queue, {found.raw:.2f} s in all"
    )
