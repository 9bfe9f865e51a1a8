"""The evidence: all that was written down in a chaos run, kept to be judged again."""

from __future__ import annotations

import gzip
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.chaos.crew import Duty
from tests.chaos.faults import Fault
from tests.chaos.journal import Journal, Note
from tests.chaos.ledger import Effect
from tests.chaos.runs import Sent

_FILE = "evidence.json.gz"


@dataclass
class Evidence:
    """What the verdict is made from."""

    sent: list[Sent]
    effects: list[Effect]
    notes: list[Note]
    faults: list[Fault]
    duties: list[Duty]
    #: Seconds from SIGTERM to the worker's end.
    stops: list[float]
    #: What workers did that none should.
    troubles: list[str]
    broker: str = "redis"

    def save(self, folder: Path) -> None:
        """Write it beside the journal."""
        data = {
            "sent": [asdict(run) for run in self.sent],
            "effects": self.effects,
            "faults": [asdict(fault) for fault in self.faults],
            "duties": [asdict(duty) for duty in self.duties],
            "stops": self.stops,
            "troubles": self.troubles,
            "broker": self.broker,
        }
        with gzip.open(folder / _FILE, "wt", compresslevel=1) as file:
            json.dump(data, file)

    @classmethod
    def load(cls, folder: Path) -> Evidence:
        """Read what ``save`` wrote."""
        with gzip.open(folder / _FILE, "rt") as file:
            data = json.load(file)
        return cls(
            sent=[Sent(**run) for run in data["sent"]],
            effects=[Effect(*effect) for effect in data["effects"]],
            notes=Journal(folder / "journal.jsonl").read(),
            faults=[Fault(**{**fault, "pids": tuple(fault["pids"])}) for fault in data["faults"]],
            duties=[Duty(**duty) for duty in data["duties"]],
            stops=data["stops"],
            troubles=data["troubles"],
            broker=data.get("broker", "redis"),
        )
