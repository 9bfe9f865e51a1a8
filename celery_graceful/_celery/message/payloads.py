"""Reading what was serialized: stored and received data does not choose how it is read.

The content type that stands beside some data is a claim of whoever wrote it. What the app's own
configuration names is accepted, and nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from billiard.exceptions import Terminated, WorkerLostError
from celery.exceptions import TaskPredicate
from kombu import serialization
from kombu.exceptions import ContentDisallowed, DecodeError

from celery_graceful.errors import CorruptRecord

JSON = "application/json"
#: What kombu hands out as it is, bytes or text, whatever is accepted.
_RAW = ("application/data", "application/text")
#: Others name codecs of Python that unpack, which a few bytes can turn into gigabytes.
_ENCODINGS = ("utf-8", "us-ascii", "ascii", "binary", "ascii-8bit")
#: What Celery takes for something other than the failure of a task.
_NO_FAILURE = (TaskPredicate, WorkerLostError, Terminated)

# Not all of it is in the type stubs.
_kombu: Any = serialization


def accepts_result(conf: Any, content_type: Any) -> bool:
    """Whether a result of this content type is read.

    ``result_serializer`` is what results are written with; ``result_accept_content``, or else
    ``accept_content``, may allow more.
    """
    more = conf.result_accept_content
    names = conf.accept_content if more is None else more
    return _is_among((conf.result_serializer, *(names or ())), content_type)


def accepts_message(conf: Any, content_type: Any) -> bool:
    """Whether the app's workers read a message with this content type."""
    if conf.accept_content is None:
        return content_type not in _kombu.registry._disabled_content_types
    return content_type in _RAW or _is_among(conf.accept_content, content_type)


def _is_among(names: Iterable[str], content_type: Any) -> bool:
    return content_type in _kombu.prepare_accept_content(list(names))


def read_payload(data: bytes, content_type: str, encoding: str | None) -> Any:
    """Read data of a content type that was found to be accepted.

    Raises:
        ContentDisallowed: the encoding is not one of text.
        DecodeError: there is nothing to read.
        Exception: whatever the serializer raises.
    """
    encoding = (encoding or "utf-8").lower()
    if encoding not in _ENCODINGS:
        raise ContentDisallowed(f"Refusing to decode content by {encoding!r:.40}")
    if not data and content_type not in _RAW:  # kombu would hand it out as it is
        raise DecodeError("there is nothing to decode")
    return _kombu.loads(data, content_type, encoding, accept={content_type})


def error_of(backend: Any, saved: Any) -> Exception:
    """The exception that Celery's ``prepare_exception`` wrote down.

    Celery looks its class up by name. Here no more than the classes of loaded modules are looked
    at: no attribute is computed and no module imported for the sake of a name.

    Raises:
        CorruptRecord: it names what is no exception of a task.
    """
    if not isinstance(saved, dict):
        raise CorruptRecord(f"a saved error is no mapping: {saved!r:.100}")
    kind, module = saved.get("exc_type"), saved.get("exc_module")
    if not isinstance(kind, str) or not isinstance(module, (str, type(None))):
        raise CorruptRecord(f"a saved error names no class: {module!r:.100}, {kind!r:.100}")
    found = _named(module, kind)
    if found is None:  # defined elsewhere, or no longer: a class of this name is made up
        saved = {**saved, "exc_module": None}
    elif not _is_failure(found):
        raise CorruptRecord(f"a saved error names {module}.{kind:.100}, which no task fails with")
    error = backend.exception_to_python(saved)
    if not isinstance(error, Exception):
        raise CorruptRecord(f"a saved error is none: {error!r:.100}")
    return error


def _named(module: str | None, kind: str) -> object:
    """What the name stands for in a module that is loaded; ``None`` if that is nothing."""
    found: object = sys.modules.get(module or "")
    for name in kind.split("."):
        if not isinstance(found, (ModuleType, type)):
            return None
        # Past properties and a module's __getattr__, which would run code.
        found = vars(found).get(name)
    return found


def _is_failure(found: object) -> bool:
    return (
        isinstance(found, type)
        and issubclass(found, Exception)
        and not issubclass(found, _NO_FAILURE)
    )
