"""What ends a command: one line on stderr, and an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from celery_graceful.text.masking import mask_text
from celery_graceful.text.printable import printable_lines

#: What ``status`` ends with while anything is held, and a wait that somebody broke off.
IN_MAINTENANCE, INTERRUPTED = 10, 130


class WrongApp(click.ClickException):
    """The app, its settings or its tasks are not as they have to be."""

    exit_code = 2


class TimedOut(click.ClickException):
    """What was waited for did not come in time."""

    exit_code = 3


class Refusal(click.ClickException):
    """What was asked cannot be done; nothing was changed."""

    exit_code = 4


class Unavailable(click.ClickException):
    """The store or the broker does not answer."""

    exit_code = 69


def of_status(*, down: bool, workers: bool) -> int:
    """What ``status`` ends with when the store answers.

    Maintenance comes first: scripts that stop the workers during it still have to see it.
    """
    if down:
        return IN_MAINTENANCE
    return 0 if workers else Unavailable.exit_code


@contextmanager
def exits() -> Iterator[None]:
    """Turn what a command may run into to a message and an exit code."""
    from kombu.exceptions import OperationalError

    from celery_graceful import errors

    try:
        yield
    except (errors.SettingsError, errors.DefinitionError, errors.UnknownScope) as exc:
        raise WrongApp(_said(exc)) from exc
    except (errors.RunRefused, errors.UnknownRun, errors.CorruptRecord) as exc:
        raise Refusal(_said(exc)) from exc
    except (errors.ScopeNotDown, errors.ScopeRefused) as exc:
        raise Refusal(_said(exc)) from exc
    except (errors.StoreError, errors.NotSent, errors.PublishUncertain) as exc:
        raise Unavailable(_said(exc)) from exc
    except OperationalError as exc:
        raise Unavailable(f"The broker does not answer: {_said(exc)}") from exc


def _said(exc: Exception) -> str:
    """It may quote what others wrote, and a driver's text with a password in it."""
    return printable_lines(mask_text(str(exc)), "  ")
