"""The words of this project: ``python -m tests.words`` finds those that have a plainer one.

Looks at code, tests and documentation, names included: in ``taken_up`` and ``TakenUp`` it sees
"taken up". Part of ``make lint``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACES = ("celery_graceful", "docs", "example_project", "tests", "benchmarks")
PAGES = ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "SECURITY.md")
SUFFIXES = {".py", ".md", ".toml", ".yml", ".yaml", ".lua", ".sql"}

#: A regular expression of what is not said, and what is said instead.
PLAIN = {
    r"legs?": "execution",
    r"(?<!item )(put|puts|putting) (\w+ )?aside": "quarantine",
    r"handed over as state": "interrupted",
    r"mend(s|ed|ing)?": "fix",
    r"surplus": "duplicate",
    r"strand(s|ed|ing)?": "unroutable",
    r"poison(ed)?": "fails after N crashes",
    r"(?<!un)bears?|borne|bearing": "be idempotent, have, allow",
    r"lapsed?": "stale, expired",
    r"hearing": "broker replies, notice",
    r"save for": "without, except",
    r"worth while": "at least, useful",
    r"(give|gives|given|giving|gave) way": "stop voluntarily, yield",
    r"(is|was|are|were|be|been|being|get|gets|got|,) given up": "fails, is no longer tried",
    r"(take|takes|taken|taking|took) up(?! to)": "resume, continue",
    r"(carry|carries|carried|carrying) on": "resume, continue",
    r"(carried|kept) by (a|the|which|whom|no|another) (worker|process)": "owned by, runs on",
    r"it matters not": "negligible",
    r"flush intervals?": "checkpoint interval",
    r"(is|was|are|were|be|been) told to": "asked to",
}
#: Lines where such a word is right: it is somebody else's, or has its everyday meaning.
RIGHT = (
    r"Poison Message Handling",  # a chapter of RabbitMQ's documentation
)
_WORDS = re.compile("|".join(rf"\b(?:{pattern})\b" for pattern in PLAIN), re.IGNORECASE)
_RIGHT = re.compile("|".join(RIGHT))
_JOINTS = re.compile(r"_|(?<=[a-z0-9])(?=[A-Z])")


def found_in(text: str) -> Iterator[tuple[int, str, str]]:
    """The lines of a text with such a word: number, the word, and what is said instead."""
    for number, line in enumerate(text.splitlines(), 1):
        if not _RIGHT.search(line):
            for found in _WORDS.finditer(_JOINTS.sub(" ", line)):
                yield number, found[0], _instead_of(found[0])


def _instead_of(word: str) -> str:
    return next(
        plain for pattern, plain in PLAIN.items() if re.fullmatch(pattern, word, re.IGNORECASE)
    )


def files() -> Iterator[Path]:
    """What is looked at; not this file, which has to name the words."""
    for place in PLACES:
        for path in sorted((ROOT / place).rglob("*")):
            if path.suffix in SUFFIXES and path != Path(__file__).resolve():
                yield path
    yield from (ROOT / page for page in PAGES if (ROOT / page).exists())


def main() -> int:
    """Print what was found; 1 if there was anything."""
    bad = 0
    for path in files():
        about = path.relative_to(ROOT)
        texts = [
            (0, about.as_posix()),
            *enumerate(path.read_text(encoding="utf-8").splitlines(), 1),
        ]
        for number, text in texts:
            for _, word, instead in found_in(text):
                print(f"{about}:{number}: say {instead!r}, not {word!r}")
                bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
