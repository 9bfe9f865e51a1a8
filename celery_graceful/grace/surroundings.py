"""How long a worker has from the stop signal to SIGKILL, as its surroundings say."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from celery_graceful.durations import parse
from celery_graceful.errors import SettingsError
from celery_graceful.grace import kubernetes, supervisord, systemd
from celery_graceful.grace.deadlines import Grace, Period, Silent, margin_of

logger = logging.getLogger("celery_graceful.stop")

SETTING = "graceful_grace_period"
VARIABLE = "GRACEFUL_GRACE_PERIOD"
#: How long all questions together may hold a worker's start up, in seconds.
PATIENCE = 3.0
#: Timers may end this much early, in seconds.
_NEARLY = 0.05
#: What honcho and Heroku wait for, in seconds; neither can be configured.
_HONCHO, _HEROKU = 5.0, 30.0

#: Asks one manager, given the environment and seconds of patience; ``None``: it is not there.
Reader = Callable[[Mapping[str, str], float], Period | None]


def _honcho(environ: Mapping[str, str], patience: float) -> Period | None:
    return Period(_HONCHO, "honcho") if environ.get("HONCHO_PROCESS_NAME") else None


def _heroku(environ: Mapping[str, str], patience: float) -> Period | None:
    return Period(_HEROKU, "Heroku") if environ.get("DYNO") else None


#: The nearest to the worker first.
READERS: Sequence[Reader] = (_honcho, supervisord.ask, systemd.ask, kubernetes.ask, _heroku)


def readers_for(*, ask_kubernetes: bool) -> Sequence[Reader]:
    """Those of :data:`READERS` that a worker may ask.

    All but Kubernetes answer from this host alone, and about this very worker. That one is a
    request over the network, by an account that others grant rights to: only where it is wanted.
    """
    return [reader for reader in READERS if ask_kubernetes or reader is not kubernetes.ask]


def find_grace(
    setting_seconds: float | None,
    margin: float | None,
    environ: Mapping[str, str],
    *,
    readers: Sequence[Reader] = READERS,
) -> Grace | None:
    """The worker's grace period, from the first that knows it; never takes much over three seconds.

    In this order: the setting, the variable ``GRACEFUL_GRACE_PERIOD`` (``0`` or ``off``: there is
    none, and nobody is asked), then the managers that have started this worker. Of several inside
    each other the shortest counts; one that does not answer makes those around it worthless.

    Args:
        setting_seconds: the setting ``graceful_grace_period``, in seconds.
        margin: the setting ``graceful_kill_margin``, in seconds; ``None``: by the period.
        environ: the worker's environment.
        readers: who can be asked, the nearest first.

    Returns:
        the period, with who said so; ``None`` where nobody knows, or where it never ends.

    Raises:
        SettingsError: the variable is wrong. Strange surroundings raise nothing.
    """
    if setting_seconds is not None:
        return _grace(Period(setting_seconds, SETTING), margin)
    given = environ.get(VARIABLE, "").strip()
    if given:
        seconds = _parsed(given)
        return _grace(Period(seconds, VARIABLE), margin) if seconds else None
    found = [each for each in _ask(readers, environ) if 0 < each.seconds < float("inf")]
    return _grace(min(found), margin, learnt=True) if found else None


def _grace(period: Period, margin: float | None, *, learnt: bool = False) -> Grace:
    seconds, source = period
    kept = margin_of(seconds) if margin is None else min(margin, seconds)
    return Grace(seconds, kept, source, learnt)


def _parsed(given: str) -> float:
    if given.lower() == "off":
        return 0.0
    try:
        return parse(given)
    except ValueError as exc:
        raise SettingsError(
            f"The environment variable {VARIABLE} is wrong: {exc}. Expected: seconds, a text such"
            ' as "30s", or "off"'
        ) from None


def _ask(readers: Sequence[Reader], environ: Mapping[str, str]) -> list[Period]:
    until = time.monotonic() + PATIENCE
    found = []
    for ask in readers:
        try:
            period = ask(environ, max(0.05, until - time.monotonic()))
        except Silent as exc:
            # Who refuses does so each time; who is late would have answered.
            late = time.monotonic() > until - _NEARLY
            level = logging.WARNING if late else logging.DEBUG
            logger.log(level, "The grace period is not known: %s", exc)
            break
        except Exception:
            logger.warning("The grace period could not be asked for", exc_info=True)
            break
        if period is not None:
            found.append(period)
    return found
