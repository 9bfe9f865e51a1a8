"""The error that an execution ends with, as the run's record keeps it: cut, and without secrets."""

from __future__ import annotations

import logging
import traceback
from itertools import takewhile
from pathlib import Path

from celery.exceptions import Retry, SoftTimeLimitExceeded

import celery_graceful
from celery_graceful.model.run.history import RunError, error_text
from celery_graceful.model.typed_values import type_name
from celery_graceful.text.masking import mask_text

logger = logging.getLogger("celery_graceful.runs")

#: How many frames and characters are looked at; less than that is kept.
_FRAMES = 30
_LONGEST = 8192
_HERE = str(Path(celery_graceful.__file__).parent)


def last_error(exc: BaseException) -> str:
    """An error as text. Of a retry, it is what the retry is for; empty where there is none."""
    cause = _cause(exc)
    if cause is None:
        return ""
    name = type_name(cause)
    try:
        message = mask_text(str(cause)[:_LONGEST])
        tail = mask_text("".join(_frames(cause))[-_LONGEST:])
    except SoftTimeLimitExceeded:
        raise
    except Exception as trouble:  # what it is made of, or how it shows itself
        return error_text(RunError(name, f"<cannot be shown: {type_name(trouble)}>"))
    return error_text(RunError(name, message, tail))


def _frames(exc: BaseException) -> list[str]:
    """The last frames of the traceback, without those in front that lead to the task's code."""
    frames = traceback.extract_tb(exc.__traceback__)
    own = takewhile(lambda frame: frame.filename.startswith(_HERE), frames)
    theirs = frames[sum(1 for _ in own) :] or frames
    return traceback.format_list(theirs[-_FRAMES:])


def _cause(exc: BaseException) -> BaseException | None:
    if not isinstance(exc, Retry):
        return exc
    return exc.exc or exc.__cause__ or exc.__context__
