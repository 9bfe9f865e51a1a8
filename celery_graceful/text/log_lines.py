"""Log lines of this package: what others wrote stays within its line, and passwords out of it.

Task ids, task names, host names, reasons and the errors of drivers are whatever somebody sent.
"""

from __future__ import annotations

import logging
from typing import Any

from celery_graceful.text.masking import mask_text
from celery_graceful.text.printable import printable, printable_lines

#: The loggers of this package: a filter is asked by the logger itself, not by those above it.
NAMES = (
    "celery_graceful.atomic",
    "celery_graceful.beat",
    "celery_graceful.doctor",
    "celery_graceful.maintenance",
    "celery_graceful.processes",
    "celery_graceful.rescue",
    "celery_graceful.runs",
    "celery_graceful.runtime",
    "celery_graceful.signals",
    "celery_graceful.stop",
    "celery_graceful.sources",
    "celery_graceful.stores",
    "celery_graceful.tasks",
    "celery_graceful.web",
    "celery_graceful.worker",
)
#: What can hold no text of others.
_PLAIN = (int, float, type(None))


class _Shown:
    """An argument of a log line, made safe when it is written."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def __str__(self) -> str:
        if isinstance(self._value, BaseException):
            # Its other lines are set in, so that none passes for a line of the log.
            return printable_lines(mask_text(str(self._value)), "    ")
        return printable(str(self._value))

    def __repr__(self) -> str:
        shown = repr(self._value)
        if isinstance(self._value, BaseException):
            shown = mask_text(shown)
        return printable(shown)


class _Safe(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if not isinstance(record.msg, str):
            record.msg = _shown(record.msg)
        elif not record.args:
            record.msg = printable_lines(record.msg, "    ")
        if isinstance(record.args, tuple):
            record.args = tuple(_shown(arg) for arg in record.args)
        elif record.args:
            record.args = {name: _shown(arg) for name, arg in record.args.items()}
        if record.exc_info and record.exc_info[0] is not None and not record.exc_text:
            # Formatters write this as it is; the exception itself is there for others.
            record.exc_text = _shown_traceback(record.exc_info)
        return True


def _shown(value: Any) -> Any:
    return value if isinstance(value, (*_PLAIN, _Shown)) else _Shown(value)


def _shown_traceback(exc_info: Any) -> str:
    """A traceback whose errors may have lines of their own, which are set in as the others are."""
    lines = logging.Formatter().formatException(exc_info)
    return printable_lines(mask_text(lines), "    ")


_safe = _Safe()


def install() -> None:
    """Make the log lines of this package safe, whoever reads them."""
    for name in NAMES:
        logging.getLogger(name).addFilter(_safe)
