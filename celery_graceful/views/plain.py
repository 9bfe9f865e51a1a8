"""Cursors and carry as JSON: what a program in any language can read."""

from __future__ import annotations

import base64
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID


def plain(value: Any) -> Any:
    """A cursor, a carry or a part of one in JSON's types.

    Text, whole numbers, floats, booleans and ``None`` stay what they are. Tuples become lists;
    moments ISO 8601 text; spans seconds; decimals and UUIDs text; bytes Base64. A dict becomes an
    object, or, if a key is not text, a list of pairs.
    """
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        if all(isinstance(key, str) for key in value):
            return {key: plain(each) for key, each in value.items()}
        return [[plain(key), plain(each)] for key, each in value.items()]
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, (Decimal, UUID)):
        return str(value)
    return value
