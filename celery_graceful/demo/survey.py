"""The work of the demo: counting lines, and a digest that depends on every file and their order."""

from __future__ import annotations

import hashlib
import os
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple


def standard_library() -> str:
    """The folder of the running Python's standard library."""
    return sysconfig.get_path("stdlib")


def is_installed(name: str) -> bool:
    """Whether a path below the standard library's folder belongs to an installed package."""
    return name.startswith(("site-packages/", "dist-packages/"))


def add(so_far: Mapping[str, Any], content: bytes) -> dict[str, Any]:
    """The sums after one more file."""
    digest = hashlib.sha256(content).hexdigest()
    chained = hashlib.sha256((so_far.get("digest", "") + digest).encode())
    return {
        "files": so_far.get("files", 0) + 1,
        "lines": so_far.get("lines", 0) + content.count(b"\n"),
        "digest": chained.hexdigest(),
    }


class Expected(NamedTuple):
    """What a plain loop finds: the files in their order, and the sums."""

    names: list[str]
    sums: dict[str, Any]


def by_plain_loop(root: str) -> Expected:
    """Walk ``root`` without Celery and without the package's sources: the demo's measure."""
    names = []
    for folder, _, found in os.walk(root):
        inside = Path(folder).relative_to(root)
        names += [(inside / name).as_posix() for name in found if name.endswith(".py")]
    names = sorted((n for n in names if not is_installed(n)), key=lambda name: name.split("/"))
    files = lines = 0
    chain = ""
    for name in names:
        content = Path(root, name).read_bytes()
        files += 1
        lines += content.count(b"\n")
        digest = hashlib.sha256(content).hexdigest()
        chain = hashlib.sha256((chain + digest).encode()).hexdigest()
    return Expected(names, {"files": files, "lines": lines, "digest": chain})
