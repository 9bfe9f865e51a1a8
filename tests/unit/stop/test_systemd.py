"""TimeoutStopSec, as systemd tells it to a worker."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from celery_graceful.grace.deadlines import Period, Silent
from celery_graceful.grace.systemd import Unit, ask, grace_in, seconds_of, unit_in

NOTHING: dict[str, Unit | None] = {
    "": None,
    "garbage": None,
    "0::/\n": None,
    "0::/user.slice/user-1000.slice/session-3.scope\n": None,
    "0::/system.slice/docker-0f1e.scope\n": None,
    "0::/user.slice/user-1000.slice/user@1000.service/app.slice/vte-spawn-1.scope\n": None,
    "0::/user.slice/user-1000.slice/user@1000.service/init.scope\n": None,
}
SERVICES: dict[str, Unit | None] = {
    "0::/system.slice/shop.service\n": Unit("shop.service"),
    "0::/system.slice/system-shop.slice/shop@2.service/child\n": Unit("shop@2.service"),
    "12:cpu:/\n1:name=systemd:/system.slice/shop.service\n": Unit("shop.service"),
    "0::/user.slice/user-1000.slice/user@1000.service/app.slice/shop.service\n": Unit(
        "shop.service", of_user=True
    ),
}


@pytest.mark.parametrize(("cgroup", "unit"), [*NOTHING.items(), *SERVICES.items()])
def test_the_unit_is_in_the_control_group(cgroup: str, unit: Unit | None) -> None:
    assert unit_in(cgroup) == unit


@pytest.mark.parametrize(
    ("span", "seconds"),
    [
        ("30s", 30),
        ("1min 30s", 90),
        ("500ms", 0.5),
        ("2h", 7200),
        ("1w 1d", 691200),
        ("1.500s", 1.5),
        ("0", None),
        ("infinity", math.inf),
        ("", None),
        ("30x", None),
        ("soon", None),
    ],
)
def test_a_time_is_read_as_systemctl_prints_it(span: str, seconds: float | None) -> None:
    assert seconds_of(span) == seconds


def test_no_kill_is_no_end() -> None:
    assert grace_in("TimeoutStopUSec=30s\nKillMode=mixed\nSendSIGKILL=yes\n") == 30
    assert grace_in("TimeoutStopUSec=30s\nKillMode=mixed\nSendSIGKILL=no\n") == math.inf
    assert grace_in("TimeoutStopUSec=30s\nKillMode=none\nSendSIGKILL=yes\n") == math.inf
    with pytest.raises(Silent):
        grace_in("")


class Host:
    """A process of a unit, with a ``systemctl`` of its own."""

    def __init__(self, folder: Path, script: str) -> None:
        self.cgroup = folder / "cgroup"
        self.cgroup.write_text("0::/system.slice/shop-worker.service\n")
        program = folder / "systemctl"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        self.environ = {"INVOCATION_ID": "1", "PATH": f"{folder}:{os.environ['PATH']}"}

    def ask(self) -> Period | None:
        return ask(self.environ, 5, self.cgroup)


SHOWS = """
[ "$*" = "show --property=TimeoutStopUSec,KillMode,SendSIGKILL -- shop-worker.service" ] || exit 9
echo TimeoutStopUSec=1min
echo KillMode=mixed
echo SendSIGKILL=yes
"""


def test_systemctl_is_asked_for_the_unit(tmp_path: Path) -> None:
    assert Host(tmp_path, SHOWS).ask() == Period(60, "TimeoutStopSec of shop-worker.service")


def test_a_worker_that_systemd_did_not_start_asks_nobody(tmp_path: Path) -> None:
    host = Host(tmp_path, SHOWS)
    del host.environ["INVOCATION_ID"]
    assert host.ask() is None


def test_a_systemctl_that_fails_is_silent(tmp_path: Path) -> None:
    with pytest.raises(Silent, match="no bus"):
        Host(tmp_path, "echo no bus >&2; exit 1").ask()


def test_without_systemctl_systemd_is_silent(tmp_path: Path) -> None:
    host = Host(tmp_path, SHOWS)
    host.environ["PATH"] = str(tmp_path / "nowhere")
    with pytest.raises(Silent, match="no systemctl"):
        host.ask()
