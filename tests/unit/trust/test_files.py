"""The doctor and the registry of processes read files that others may have put there."""

from __future__ import annotations

import json
import os
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from celery_graceful.doctor.commands.search import workers_in_text
from celery_graceful.doctor.readers import read_file, read_files, read_text
from celery_graceful.doctor.readers.texts import MOST
from celery_graceful.processes import ending, registry
from celery_graceful.text.files import read_regular

#: Seconds; far from what each of these took, and from what they take.
SOON = 10.0


@contextmanager
def soon() -> Iterator[None]:
    began = time.process_time()  # whatever else this machine does
    yield
    assert time.process_time() - began < SOON


# -- the doctor ----------------------------------------------------------------------------------


def what(path: object) -> str:
    (trouble,) = read_file(str(path)).troubles
    return trouble.what


def test_a_fifo_a_device_a_socket_and_a_folder(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "worker.yaml")
    with socket.socket(socket.AF_UNIX) as listening, soon():
        listening.bind(str(tmp_path / "s"))
        assert "no regular file" in what(tmp_path / "worker.yaml")
        assert "no regular file" in what("/dev/zero")
        assert "cannot be read" in what(tmp_path / "s")
        link = tmp_path / "zero.yaml"
        link.symlink_to("/dev/zero")
        assert "no regular file" in what(link)


def test_a_fifo_beside_a_file_that_deploys_workers(tmp_path: Path) -> None:
    """An environment file, a Dockerfile, a drop-in, a script."""
    (tmp_path / "Procfile").write_text("worker: celery -A proj worker\n")
    (tmp_path / ".env").symlink_to("/dev/zero")
    (tmp_path / "x.service").write_text("[Service]\nExecStart=celery -A proj worker\n")
    (tmp_path / "x.service.d").mkdir()
    (tmp_path / "x.service.d" / "a.conf").symlink_to("/dev/zero")
    (tmp_path / "compose.yaml").write_text(
        "services: {w: {build: ., command: celery -A proj worker, env_file: .env}}\n"
    )
    (tmp_path / "Dockerfile").symlink_to("/dev/zero")
    with soon():
        read_files([str(tmp_path / "Procfile"), str(tmp_path / "x.service")])
        read_files([str(tmp_path / "compose.yaml"), str(tmp_path)])


def test_a_file_that_is_too_large_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "large.yaml").write_bytes(b"a: b\n" * (MOST // 5 + 1))
    with soon():
        assert "larger than 1 MiB" in what(tmp_path / "large.yaml")
    with open(tmp_path / "hole.yaml", "wb") as file:
        file.truncate(1 << 40)
    with soon():
        assert "larger than 1 MiB" in what(tmp_path / "hole.yaml")


def yaml_of(size: int) -> str:
    head = "services:\n  w:\n    command: celery -A proj worker\n"
    return head + "".join(f"  s{i}: {{image: x}}\n" for i in range(size // 20))


LAUGHS = "a0: &a0 {k: v}\n" + "".join(
    f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}], k{i}: v}}\n" for i in range(1, 60)
)
SLOW = {
    "yaml": yaml_of(MOST // 4),
    "merges": LAUGHS,
    "aliases": "a0: &a0 [x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 60)
    ),
    "lists of lists": "a0: &a0 {kind: Pod}\n" + "".join(
        f"a{i}: &a{i} {{kind: List, items: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n"
        for i in range(1, 60)
    ) + "apiVersion: v1\nkind: List\nitems: [*a59]\n",
    "a list within itself": "apiVersion: v1\nkind: List\nitems: &a [{kind: List, items: *a}]\n",
    "a chain of lists": "a0: &a0 {kind: Pod}\n" + "".join(
        f"a{i}: &a{i} {{kind: List, items: [*a{i - 1}]}}\n" for i in range(1, 5000)
    ) + "apiVersion: v1\nkind: List\nitems: [*a4999]\n",
    "one container often": "x: &x {command: celery -A p worker, env: [" + "{name: a}, " * 20_000
    + "]}\napiVersion: v1\nkind: Pod\nspec: {containers: [" + "*x, " * 150_000 + "]}\n",
    "one service often": "x: &x {command: celery -A p worker, environment: {"
    + "".join(f"a{i}: b, " for i in range(20_000)) + "}}\nservices:\n"
    + "".join(f"  s{i}: *x\n" for i in range(40_000)),
    "one merged often": "x: &x {" + "".join(f"a{i}: b, " for i in range(20_000))
    + "}\nservices:\n" + "".join(f"  s{i}: {{<<: *x}}\n" for i in range(30_000)),
    "one extended often": "services:\n  x: {environment: {"
    + "".join(f"a{i}: b, " for i in range(4_000)) + "}}\n"
    + "".join(f"  s{i}: {{extends: x}}\n" for i in range(4_000)),
    "services that extend each other": "services:\n"
    + "".join(f"  s{i}: {{extends: s{i + 1}, command: celery -A p worker}}\n" for i in range(999)),
    "copies": "FROM x\n" + "COPY a /b\n" * 50_000 + "CMD " + "w " * 50_000 + "\n",
    "functions": "#!/bin/sh\n" + "".join(f"f{i}() {{ f{i + 1}; f{i + 1}; }}\n" for i in range(999)),
    "brackets": "[" * MOST,
    "braces": "{a: " * (MOST // 4),
    "dashes": "- " * (MOST // 2),
    "question marks": "? " * (MOST // 2),
    "digits": "#!/bin/sh\n" + "1" * 300_000,
    "arrows": "#!/bin/sh\n" + "<" * 300_000,
    "assignments": "#!/bin/sh\n" + "A=1 " * 100_000,
    "thens": "#!/bin/sh\n" + "then " * 100_000,
    "blank lines": "\n" * MOST,
    "ini": "[Service]\nExecStart=x\\\n" + "y\\\n" * 200_000,
    "options": "#!/bin/sh\ncelery -A p worker " + "-x " * 100_000,
    "variables": "services: {w: {command: '" + "${a" * 100_000 + "'}}",
    "words": "FROM x\nENV " + "a" * 500_000 + "\nCMD celery worker\n",
}  # fmt: skip


@pytest.mark.parametrize("name", SLOW)
def test_no_text_takes_long(name: str) -> None:
    with soon():
        read_text(SLOW[name], "worker.yaml" if not SLOW[name].startswith("#!") else "worker")


def test_merged_mappings_still_say_what_they_say() -> None:
    outcome = read_text(
        "x-base: &base {command: celery -A a worker, stop_grace_period: 5s}\n"
        "x-more: &more {command: celery -A b worker}\n"
        "services:\n  one: {<<: *base}\n  two: {<<: [*more, *base], stop_signal: SIGINT}\n"
        "  three: {<<: *base, command: celery -A c worker}\n",
        "compose.yaml",
    )
    found = {each.name: each for each in outcome.workers}
    assert sorted(each.command.options["app"] for each in found.values()) == ["a", "b", "c"]
    assert all(each.grace is not None and each.grace.value == 5 for each in found.values())


def test_redirections_are_still_none_of_the_words() -> None:
    command = workers_in_text("exec celery -A proj worker 2>&1 >>log 3<x &>all")[0]
    assert command.words == ("celery", "-A", "proj", "worker")


# -- a file as such ------------------------------------------------------------------------------


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "own"
    path.write_text("x")
    path.chmod(0o600)
    assert read_regular(path, 1, own=True) == b"x"
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(OSError, match=r"link"):
        read_regular(tmp_path / "link", 1, own=True)
    path.chmod(0o620)
    with pytest.raises(PermissionError, match="others can write"):
        read_regular(path, 1, own=True)


# -- the registry --------------------------------------------------------------------------------

TAG = "f" * 32
RIGHT = {
    "tag": TAG, "command": "sleep 60", "owner": 7, "task": "-", "task_id": "-", "since": 1.0,
    "stop_signal": 15, "grace": 1.0,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return registry.folder()


def put(folder: Path, text: str, name: str = TAG) -> Path:
    path = folder / f"{name}.json"
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_a_right_entry_is_read(folder: Path) -> None:
    put(folder, json.dumps(RIGHT))
    assert [entry.command for entry in registry.entries()] == ["sleep 60"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"tag": None}, {"tag": ""}, {"tag": 7}, {"tag": "another"}, {"command": None},
        {"task": ["x"]}, {"stop_signal": 0}, {"stop_signal": "TERM"}, {"stop_signal": 10**400},
        {"stop_signal": -9}, {"grace": None}, {"grace": float("nan")}, {"grace": 1e300},
        {"grace": -1}, {"since": "x"}, {"since": 10**400}, {"owner": {}}, {"owner": True},
        {"more": 1},
    ],
)  # fmt: skip
def test_a_wrong_entry_ends_nothing(
    folder: Path, wrong: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(ending, "end_tagged", lambda *args: asked.append(args))
    put(folder, json.dumps({**RIGHT, **wrong}))
    assert registry.entries() == []
    assert registry.sweep() == []
    assert asked == []


@pytest.mark.parametrize("text", ["", "null", "[]", "[" * 100_000, "\x00", '{"tag": "\\ud800"}'])
def test_what_is_no_entry(folder: Path, text: str) -> None:
    put(folder, text)
    with soon():
        assert registry.entries() == registry.sweep() == []


def test_a_fifo_a_folder_and_a_link_in_the_registry(folder: Path, tmp_path: Path) -> None:
    os.mkfifo(folder / "a.json")
    (folder / "b.json").mkdir()
    (folder / "c.draft").mkdir()
    os.utime(folder / "c.draft", (0, 0))
    elsewhere = tmp_path / TAG
    elsewhere.write_text(json.dumps(RIGHT))
    (folder / f"{TAG}.json").symlink_to(elsewhere)
    (folder / "d.json").symlink_to("/dev/zero")
    with soon():
        assert registry.entries() == registry.sweep() == []
        assert not registry.is_empty()


def test_an_entry_that_others_can_write_is_not_believed(folder: Path) -> None:
    put(folder, json.dumps(RIGHT)).chmod(0o666)
    assert registry.entries() == []


@pytest.mark.parametrize("tag", [None, ""])
def test_no_tag_is_that_of_no_process(tag: Any) -> None:
    with pytest.raises(ValueError, match="no tag"):
        ending.end_tagged(tag, signal.SIGTERM, 0.0)


def test_a_compose_file_that_includes_and_extends_itself(tmp_path: Path) -> None:
    path = tmp_path / "compose.yml"
    path.write_text(
        "include: [" + "compose.yml, " * 500 + "]\nservices:\n"
        + "".join(
            f"  s{i}: {{extends: {{file: compose.yml, service: s{i + 1}}}}}\n" for i in range(500)
        )
    )  # fmt: skip
    with soon():
        read_file(str(path))
