"""What systemd says of the service that this process belongs to."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from celery_graceful.grace.deadlines import Period, Silent

CGROUP = Path("/proc/self/cgroup")
PROPERTIES = "TimeoutStopUSec,KillMode,SendSIGKILL"

_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zµμ]+)")
_SECONDS = {
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 7 * 86400.0,
    "month": 2629800.0,
    "y": 31557600.0,
}


class Unit(NamedTuple):
    """A service."""

    name: str
    #: Whether it belongs to a user's own systemd.
    of_user: bool = False


def ask(environ: Mapping[str, str], patience: float, cgroup: Path = CGROUP) -> Period | None:
    """``TimeoutStopSec`` of the service that this process runs in; ``None`` if it is in none.

    Raises:
        Silent: it runs in one, and systemd does not answer.
    """
    unit = own_unit(environ, cgroup)
    if unit is None:
        return None
    shown = show(unit, PROPERTIES, environ, patience)
    return Period(grace_in(shown), f"TimeoutStopSec of {unit.name}")


def own_unit(environ: Mapping[str, str], cgroup: Path = CGROUP) -> Unit | None:
    """The service that this process runs in."""
    if not (environ.get("INVOCATION_ID") or environ.get("NOTIFY_SOCKET")):
        return None
    try:
        return unit_in(cgroup.read_text())
    except OSError:  # not on Linux
        return None


def unit_in(cgroup: str) -> Unit | None:
    """The service that a text like ``/proc/self/cgroup`` names.

    A scope is none: it is a login, or a container, which systemd does not stop by itself.
    """
    lines = [line.split(":", 2) for line in cgroup.splitlines()]
    paths = [line[2] for line in lines if len(line) == 3 and line[1] in ("", "name=systemd")]
    parts = paths[0].split("/") if paths else []
    managers = [at for at, part in enumerate(parts) if re.fullmatch(r"user@\d+\.service", part)]
    inner = parts[managers[-1] + 1 :] if managers else parts
    units = [part for part in inner if part.endswith((".service", ".scope"))]
    if not units or units[0].endswith(".scope"):
        return None
    return Unit(units[0], of_user=bool(managers))


def grace_in(shown: str) -> float:
    """Seconds from SIGTERM to SIGKILL by what ``systemctl show`` printed; infinite: no SIGKILL.

    Raises:
        Silent: it does not say.
    """
    given = dict(line.partition("=")[::2] for line in shown.splitlines())
    if given.get("SendSIGKILL") == "no" or given.get("KillMode") == "none":
        return math.inf
    seconds = seconds_of(given.get("TimeoutStopUSec", ""))
    if seconds is None:
        raise Silent(f"systemctl printed {shown!r}")
    return seconds


def seconds_of(span: str) -> float | None:
    """A time as ``systemctl show`` prints it: ``1min 30s``, ``infinity``; ``None``: it is none."""
    if span == "infinity":
        return math.inf
    total, at = 0.0, 0
    while at < len(span):
        part = _PART.match(span, at)
        if part is None or part[2] not in _SECONDS:
            return None
        total += float(part[1]) * _SECONDS[part[2]]
        at = part.end()
    return total if span else None


def show(unit: Unit, properties: str, environ: Mapping[str, str], patience: float) -> str:
    """What ``systemctl show`` prints of a unit: a line ``Name=value`` for each property.

    Args:
        properties: their names, with commas.
        patience: seconds to wait for it.

    Raises:
        Silent: systemd does not answer.
    """
    program = shutil.which("systemctl", path=environ.get("PATH"))
    if program is None:
        raise Silent("there is no systemctl")
    whose = ["--user"] if unit.of_user else []
    words = [program, *whose, "show", f"--property={properties}", "--", unit.name]
    try:
        shown = subprocess.run(
            words,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=patience,
        )
    except (OSError, subprocess.SubprocessError) as exc:
        raise Silent(str(exc)) from exc
    if shown.returncode:
        raise Silent(f"{' '.join(words)}: {shown.stderr.strip()}")
    return shown.stdout
