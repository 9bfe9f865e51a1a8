"""How a command fails: one line on stderr, and an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from celery_graceful.text.masking import mask_text
from celery_graceful.text.printable import printable_lines

#: Exit codes of ``status`` while anything is held, and of a wait that Ctrl-C ended.
IN_MAINTENANCE, INTERRUPTED = 10, 130
#: Of a wait for a run, by the state in which it leaves the run.
OF_RUNS = {"completed": 0, "failed": 5, "cancelled": 6, "paused": 7}


class Failure(click.ClickException):
    """A command fails; its message may quote what others wrote."""

    def format_message(self) -> str:
        """The message as a terminal may get it."""
        return printable_lines(self.message)


class Misuse(Failure):
    """What was asked for cannot be done so."""

    exit_code = 2


class WrongApp(Failure):
    """The app, its settings or its tasks are wrong."""

    exit_code = 2


class TimedOut(Failure):
    """What was waited for did not happen in time."""

    exit_code = 3


class Refusal(Failure):
    """What was asked cannot be done; nothing was changed."""

    exit_code = 4


class Unavailable(Failure):
    """The store or the broker does not answer."""

    exit_code = 69


def of_status(*, down: bool, workers: bool) -> int:
    """The exit code of ``status`` when the store answers.

    Maintenance comes first: scripts that stop the workers meanwhile still have to see it.
    """
    if down:
        return IN_MAINTENANCE
    return 0 if workers else Unavailable.exit_code


@contextmanager
def exits() -> Iterator[None]:
    """Turn the errors of a command into a message and an exit code."""
    from kombu.exceptions import OperationalError

    from celery_graceful import errors

    try:
        yield
    except (errors.SettingsError, errors.DefinitionError, errors.UnknownScope) as exc:
        raise WrongApp(_shown(exc)) from exc
    except (
        errors.RunRefused,
        errors.UnknownRun,
        errors.CorruptRecord,
        errors.ScopeNotDown,
        errors.ScopeRefused,
    ) as exc:
        raise Refusal(_shown(exc)) from exc
    except (errors.StoreError, errors.NotSent, errors.PublishUncertain) as exc:
        raise Unavailable(_shown(exc)) from exc
    except OperationalError as exc:
        raise Unavailable(f"The broker does not answer: {_shown(exc)}") from exc


def _shown(exc: Exception) -> str:
    """The message: it may quote what others wrote, or a driver's text with a password."""
    return printable_lines(mask_text(str(exc)), "  ")
