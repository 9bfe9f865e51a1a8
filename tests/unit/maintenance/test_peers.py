"""What other workers answer to one that cannot use the store."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery

from celery_graceful.model.maintenance.mode import EVERYTHING, Mode, hold_scopes
from celery_graceful.model.maintenance.mode_text import encode_mode
from celery_graceful.worker.maintenance import peers
from celery_graceful.worker.maintenance.peers import SEND_BACK, Peers, newest_mode

DOWN = encode_mode(hold_scopes(Mode(), [EVERYTHING], now=1.0, who="w"))


class Broker:
    """Other workers: the queues of each, and its answer."""

    def __init__(self, workers: dict[str, tuple[list[str], Any]]) -> None:
        self.workers = workers
        self.asked: list[str] = []
        self.told: list[str] = []

    def ask(self, app: Any, command: str, *, destination: Any = None, **_: Any) -> Any:
        if command == "active_queues":
            return [
                (host, [{"name": name} for name in names])
                for host, (names, _) in self.workers.items()
            ]
        self.asked = list(destination)
        return [(host, self.workers[host][1]) for host in destination]

    def tell(self, app: Any, command: str, arguments: Any, *, destination: Any, **_: Any) -> None:
        assert (command, arguments) == (SEND_BACK, {"namespace": "shop"})
        self.told = list(destination)


def said(version: Any = 3, text: Any = DOWN, **more: Any) -> dict[str, Any]:
    mode = None if version is None else {"version": version, "text": text}
    return {"namespace": "shop", "mode": mode, "starts_runs": True, **more}


WORKERS = {
    "w1@h": (["celery"], said(3)),
    "paused@h": ([], said(7)),
    "away@h": (["celery"], said(None, starts_runs=False)),
    "other@h": (["celery"], {**said(99), "namespace": "other"}),
    "elsewhere@h": (["mail"], said(99)),
    "garbage@h": (["celery"], said(99, text="{")),
    "liar@h": (["celery"], said("9", starts_runs="yes")),
    "old@h": (["celery"], {"namespace": "shop"}),
    "error@h": (["celery"], "no such command"),
    "me@h": (["celery"], said(99)),
}


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    found = Broker(WORKERS)
    monkeypatch.setattr(peers, "ask", found.ask)
    monkeypatch.setattr(peers, "tell", found.tell)
    return found


def test_the_newest_mode_of_this_app_counts(broker: Broker) -> None:
    answers = Peers(Celery("shop", set_as_current=False), "shop", "me@h").ask()
    assert "elsewhere@h" not in broker.asked, "it would log a command that it does not know"
    assert "me@h" not in broker.asked
    found = newest_mode(answers)
    assert found is not None
    assert (found[0].version, found[1], found[0].down) == (7, "paused@h", True)
    assert newest_mode([]) is None


def test_those_that_can_are_asked_to_send_back(broker: Broker) -> None:
    others = Peers(Celery("shop", set_as_current=False), "shop", "me@h")
    hosts = others.send_back(others.ask())
    assert hosts == broker.told == ["garbage@h", "paused@h", "w1@h"]
