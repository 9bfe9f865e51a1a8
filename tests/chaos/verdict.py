"""The verdict: what became of every item, and which fault answers for each repeat."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tests.chaos.blame import INTERVALS, Blame, Repeat
from tests.chaos.evidence import Evidence
from tests.chaos.journal import Note
from tests.chaos.ledger import Effect
from tests.chaos.plan import WORKERS
from tests.chaos.recovery import CRASHES, Gaps, Recovery, executions, percentile
from tests.chaos.runs import Sent

#: Items that an atomic run commits at once.
BATCH = 20
#: Seconds beyond a lease within which a run is resumed, of many recoveries.
SPARE = 5.0
#: How many messages Redis may lose by a fault: each worker has asked for one, which Redis forgets
#: as it sends it.
MAY_LOSE = {"sigkill_worker": 1, "drop_broker": WORKERS, "broker_restart": WORKERS}


@dataclass
class Verdict:
    """What was found; it passed when there are no ``failures``."""

    runs: int = 0
    items: int = 0
    never_admitted: int = 0
    lost: int = 0
    #: The quickest first.
    recoveries: list[Recovery] = field(default_factory=list)
    hand_overs: list[float] = field(default_factory=list)
    repeats: list[Repeat] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def repeated(self, what: str) -> int:
        """How many items were done again: ``atomic`` ones, or after ``crash``, ``outage``, or
        neither (``graceful``)."""
        return sum(_answer(repeat) == what for repeat in self.repeats)


def _answer(repeat: Repeat) -> str:
    if repeat.first.kind == "atomic":
        return "atomic"
    if repeat.fault is None:
        return "graceful"
    return "crash" if repeat.fault.kind in CRASHES else "outage"


def judge(evidence: Evidence, *, lease: float, flush: float, spare: float = SPARE) -> Verdict:
    """Look at everything that was written down.

    Args:
        evidence: of one chaos run.
        lease: ``graceful_lease_ttl`` in seconds.
        flush: the checkpoint interval in seconds.
        spare: seconds beyond a lease within which a run is resumed.
    """
    blame = Blame(evidence.faults, lease=lease, flush=flush)
    verdict = Verdict(runs=len(evidence.sent), items=len(evidence.effects))
    verdict.failures.extend(evidence.troubles)
    done: dict[str, list[Effect]] = defaultdict(list)
    for effect in evidence.effects:
        done[effect.run].append(effect)
    by_run = executions(evidence.notes)
    never_admitted = []
    for run in evidence.sent:
        if run.id not in by_run and not run.ended:
            never_admitted.append(run)
            continue
        _check_end(run, verdict)
        _check_lost(run, done[run.id], verdict)
        verdict.repeats.extend(blame.repeats(done[run.id]))
    _check_never_admitted(never_admitted, evidence, verdict)
    _check_repeats(verdict, done, blame)
    _check_order(evidence.notes, verdict)
    _check_recoveries(evidence, verdict, lease=lease, latest=lease + spare)
    return verdict


def _check_never_admitted(runs: Sequence[Sent], evidence: Evidence, verdict: Verdict) -> None:
    """What a broker has confirmed it keeps; Redis has nothing of what is on its way to a worker."""
    verdict.never_admitted = len(runs)
    confirmed = [run.id for run in runs if not run.uncertain]
    may = 0
    if evidence.broker == "redis":
        may = sum(MAY_LOSE.get(fault.kind, 0) for fault in evidence.faults)
    if len(confirmed) > may:
        verdict.failures.append(
            f"{len(confirmed)} runs were confirmed and never admitted, where {evidence.broker} may "
            f"lose {may}: {confirmed[:3]}"
        )


def _check_recoveries(evidence: Evidence, verdict: Verdict, *, lease: float, latest: float) -> None:
    gaps = Gaps(evidence, lease)
    verdict.recoveries = sorted(gaps.recoveries(), key=lambda recovery: recovery.seconds)
    verdict.hand_overs = list(gaps.hand_overs())
    slowest = percentile([recovery.seconds for recovery in verdict.recoveries], 0.99)
    if slowest > latest:
        verdict.failures.append(f"recovery took {slowest:.2f} s at the 99th percentile")


def _check_end(run: Sent, verdict: Verdict) -> None:
    expected = {"id": run.id, "sum": sum(range(run.items))}
    if not run.ended:
        verdict.failures.append(f"{run.id} has not ended")
    elif run.exits is not None:
        if run.state != "FAILURE" or "BaseExceptionRaised" not in str(run.result):
            verdict.failures.append(
                f"{run.id} ended {run.state} with {run.result!r}, though item {run.exits} raised "
                "what is no Exception"
            )
    elif run.state != "SUCCESS" or run.result != expected:
        verdict.failures.append(f"{run.id} ended {run.state} with {run.result!r}, not {expected}")


def _check_lost(run: Sent, effects: Sequence[Effect], verdict: Verdict) -> None:
    done = {effect.item for effect in effects}
    if run.exits is None:
        lost = set(range(run.items)) - done
    else:
        # A batch that was not committed is undone when its run fails.
        kept = max(0, run.exits - BATCH) if run.atomic else run.exits
        lost = set(range(max(kept, len(done) if run.atomic else 0))) - done
        if beyond := [item for item in done if item > run.exits]:
            verdict.failures.append(f"{run.id} did {len(beyond)} items after it had failed")
    if lost and run.ended:
        verdict.lost += len(lost)
        verdict.failures.append(f"{run.id} lost {len(lost)} items, the first is {min(lost)}")


def _check_repeats(verdict: Verdict, done: dict[str, list[Effect]], blame: Blame) -> None:
    by_fault: dict[tuple[int, str], list[Repeat]] = defaultdict(list)
    unexplained: dict[tuple[str, str, int], list[Repeat]] = defaultdict(list)
    for repeat in verdict.repeats:
        answer = _answer(repeat)
        if repeat.fault is None or answer == "atomic":
            unexplained[answer, repeat.first.run, repeat.first.fence].append(repeat)
        else:
            by_fault[repeat.fault.number, repeat.first.run].append(repeat)
    for (answer, run, _), repeats in unexplained.items():
        how = "atomic effects repeated" if answer == "atomic" else "repeated without a crash"
        verdict.failures.append(f"{run}: {len(repeats)} {how}, the first is {repeats[0]}")
    for (number, run), repeats in by_fault.items():
        fault = repeats[0].fault
        assert fault is not None
        cut_off = {(repeat.first.pid, repeat.first.fence) for repeat in repeats}
        may = blame.may_repeat(fault, [e for e in done[run] if (e.pid, e.fence) in cut_off])
        if len(repeats) > may:
            verdict.failures.append(
                f"fault {number} ({fault.kind}) repeated {len(repeats)} items of {run}, where at "
                f"most {may} had been done in {INTERVALS} checkpoint intervals"
            )


def _check_order(notes: Sequence[Note], verdict: Verdict) -> None:
    """In the order of the store's own versions, fences only rise, and so do checkpoints."""
    written: dict[str, list[Note]] = defaultdict(list)
    for note in notes:
        if note.version:
            written[note.run].append(note)
    for run, writes in written.items():
        writes.sort(key=lambda note: note.version)
        saved = [note for note in writes if note.what == "saved"]
        wrong = [(one, next_) for one, next_ in pairwise(writes) if next_.fence < one.fence]
        wrong += [(one, next_) for one, next_ in pairwise(saved) if next_.steps < one.steps]
        verdict.failures.extend(f"{run}: {next_} was accepted after {one}" for one, next_ in wrong)
