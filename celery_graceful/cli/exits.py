"""Exit codes, and the errors that lead to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

__all__ = ["REFUSED", "UNAVAILABLE", "USAGE", "Fault", "exits"]

USAGE, REFUSED, UNAVAILABLE = 2, 4, 69


class Fault(click.ClickException):
    """An error that is told in one line on stderr and ends the command."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@contextmanager
def exits() -> Iterator[None]:
    """Turn what a command may run into to a message and an exit code."""
    from kombu.exceptions import OperationalError

    from celery_graceful import errors
    from celery_graceful.runs import control

    try:
        yield
    except (errors.SettingsError, errors.DefinitionError) as exc:
        raise Fault(str(exc), USAGE) from exc
    except (control.Refused, control.UnknownRun, errors.CorruptRecord) as exc:
        raise Fault(str(exc), REFUSED) from exc
    except (errors.StoreError, control.NotSent, errors.PublishUncertain) as exc:
        raise Fault(str(exc), UNAVAILABLE) from exc
    except OperationalError as exc:
        raise Fault(f"The broker does not answer: {exc}", UNAVAILABLE) from exc
