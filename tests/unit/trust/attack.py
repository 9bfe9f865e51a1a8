"""What somebody who can write to the store would try."""

from __future__ import annotations

import base64
import json
import pickle
from pathlib import Path

PICKLE = "application/x-python-serialize"


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self._path,)


def saved_result(
    data: bytes, content_type: str, encoding: str = "binary", kind: str = "result"
) -> str:
    """A result as the store keeps it."""
    return json.dumps([kind, content_type, encoding, base64.b64encode(data).decode()])


def saved_error(**fields: object) -> str:
    """A final error as the store keeps it."""
    return saved_result(json.dumps(fields).encode(), "application/json", "utf-8", "error")


def pickled(path: Path) -> bytes:
    """Makes the file ``path`` when it is read."""
    return pickle.dumps(Touch(path))
