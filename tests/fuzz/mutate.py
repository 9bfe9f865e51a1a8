"""Inputs for decoders: valid ones that were changed, in their structure and in their text."""

from __future__ import annotations

import json
import math
import random
from typing import Any

HOSTILE_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**64, 10**30, 10**400, 10**10, -(10**400),
    0.5, -0.0, 1e300, -1e300, math.inf, -math.inf, math.nan, "", "x", "1", "\0", "\ud800", "é" * 9,
    "NaN", "all", "running", "$", "x" * 5000, [], {}, [[]], [1], [None, None], {"a": 1},
    {"$": "tuple", "v": 5}, {"$": "datetime", "v": ["2025-01-01", 0, 10**12]},
    {"__type__": "uuid", "__value__": []}, {"__type__": "datetime", "__value__": "x"}, ["a"] * 300,
)  # fmt: skip
DEPTH = 200_000
#: What no structure has to be known for.
HOSTILE_TEXTS: dict[str, str] = {
    "nothing": "",
    "null": "null",
    "a number": "7",
    "a list": "[]",
    "an object": "{}",
    "a text": '"x"',
    "no JSON": "not JSON",
    "not a number": "NaN",
    "infinite": "Infinity",
    "a float too large": "1e400",
    "5000 digits": "1" * 5000,
    "a megabyte of digits": "1" * 1_000_000,
    "deep lists": "[" * DEPTH + "]" * DEPTH,
    "deep lists without an end": "[" * DEPTH,
    "deep objects": '{"a":' * DEPTH,
    "a surrogate": '"\\ud800"',
    "a NUL": "\0",
    "many keys": json.dumps({str(n): n for n in range(3000)}),
    "a key twice": '{"schema": 1, "schema": 2}',
}
_TOKENS = (
    "NaN", "Infinity", "-Infinity", "1e400", "1e-400", "1" * 60, "1" * 5000, "[", "]", "{", "}",
    ",", ":", '"', "\\", "\\ud800", "\0", "null", "true", "-", "é", "\ud800", "\n", "\t", " ", "[[",
    '"$"', '{"a":', "''", "&a", "*a", "!!python/object:os.system", "{{", "%", "$(", "|", ">", "- ",
)  # fmt: skip


class Mutator:
    """Changes samples at random; the same seed makes the same inputs.

    Args:
        seed: where the random numbers begin.
        longest: how many characters an input may have.
    """

    def __init__(self, seed: int, longest: int) -> None:
        self._random = random.Random(seed)
        self._longest = longest

    def text(self, samples: list[str]) -> str:
        """A sample, changed once or a few times."""
        chance = self._random
        text = chance.choice(samples)
        if text[:1] in "[{" and chance.random() < 0.6:
            text = self._structure(text)
        for _ in range(chance.choice((0, 1, 1, 2, 5))):
            text = self._characters(text)
        return text[: self._longest]

    def value(self) -> Any:
        """Any value that a message may carry."""
        chance = self._random
        if chance.random() < 0.1:
            return [self.value() for _ in range(chance.randrange(4))]
        return chance.choice(HOSTILE_VALUES)

    def pick(self, choices: list[Any]) -> Any:
        """One of these."""
        return self._random.choice(choices)

    def _structure(self, text: str) -> str:
        try:
            data = json.loads(text)
        except ValueError:
            return text
        for _ in range(self._random.choice((1, 1, 1, 2, 3))):
            data = self._changed(data)
        return json.dumps(data)

    def _changed(self, data: Any) -> Any:
        chance = self._random
        if isinstance(data, dict) and data and chance.random() < 0.85:
            name = chance.choice(list(data))
            how = chance.random()
            rest = {key: value for key, value in data.items() if key != name}
            if how < 0.1:
                return rest
            if how < 0.2:
                return {**data, str(self.value())[:50]: self.value()}
            return {**rest, name: self._changed(data[name])}
        if isinstance(data, list) and data and chance.random() < 0.8:
            at = chance.randrange(len(data))
            how = chance.random()
            if how < 0.1:
                return data[:at] + data[at + 1 :]
            if how < 0.2:
                return [*data, self.value()]
            return [*data[:at], self._changed(data[at]), *data[at + 1 :]]
        return self.value()

    def _characters(self, text: str) -> str:
        chance = self._random
        first, last = sorted((chance.randint(0, len(text)), chance.randint(0, len(text))))
        how = chance.randrange(6)
        if how == 0:
            return text[:first] + text[last:]
        if how == 1:
            return text[:last] + text[first:last] * chance.choice((1, 2, 20)) + text[last:]
        if how == 2:
            return text[:first]
        if how == 3:
            return (
                text[:first]
                + chr(chance.choice((0, 9, 10, 34, 92, 0x7F, 0xE9, 0xD800)))
                + text[first + 1 :]
            )
        return text[:first] + chance.choice(_TOKENS) + text[first + (how == 4) :]
