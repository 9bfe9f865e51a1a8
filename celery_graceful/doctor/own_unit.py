"""The systemd unit of the worker that asks, as the checks of files see it."""

from __future__ import annotations

from collections.abc import Mapping

from celery_graceful.doctor.command import Command
from celery_graceful.doctor.facts import Deployed, Given, Manager, Place
from celery_graceful.doctor.tree import variables_of
from celery_graceful.grace.asking import Silent
from celery_graceful.grace.systemd import own_unit, show

PROPERTIES = "Id,KillMode,ExecStop"
_NOWHERE = Place("")


def ask_unit(environ: Mapping[str, str], patience: float = 1.0) -> str:
    """What systemd says of this process's unit; empty outside of one, and if it says nothing."""
    unit = own_unit(environ)
    if unit is None:
        return ""
    try:
        return show(unit, PROPERTIES, environ, patience)
    except Silent:
        return ""


def deployed_by(shown: str, pool: str, environ: Mapping[str, str]) -> list[Deployed]:
    """The worker as its unit stops it: a list of one, or of none.

    Args:
        shown: by :func:`ask_unit`.
        pool: the name of the worker's pool.
        environ: its environment.
    """
    told = dict(line.partition("=")[::2] for line in shown.splitlines())
    # With a command of its own systemd signals what is left when that has ended.
    if "KillMode" not in told or told.get("ExecStop"):
        return []
    return [
        Deployed(
            Manager.SYSTEMD,
            f"unit {told.get('Id', '')}",
            _NOWHERE,
            Command("", words=("celery", "worker"), options={"pool": pool} if pool else {}),
            environment=variables_of(environ),
            options={
                "KillMode": Given(told["KillMode"], _NOWHERE),
                "Restart": Given("not asked", _NOWHERE),
            },
        )
    ]
