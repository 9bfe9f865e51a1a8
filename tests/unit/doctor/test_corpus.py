"""The list of public files is sound; the files themselves are fetched by ``make corpus``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.corpus import __main__ as corpus
from tests.corpus.listed import listed
from tests.unit.doctor.planted import FILES

LISTED = list(listed())


def test_there_are_many_of_many_repositories() -> None:
    assert len(LISTED) >= 100
    assert len({each.repository for each in LISTED}) > 50
    assert len({(each.repository, each.path) for each in LISTED}) == len(LISTED)


def test_each_has_a_commit_and_stays_inside_of_its_folder() -> None:
    for each in LISTED:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", each.repository)
        assert re.fullmatch(r"[0-9a-f]{40}", each.commit)
        for path in (each.path, *each.beside):
            assert not path.startswith(("/", "../"))


def test_it_reads_a_folder_and_prints_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = LISTED[0]
    path = tmp_path / first.folder / first.path
    path.parent.mkdir(parents=True)
    path.write_text(FILES["shop.service"])
    monkeypatch.setattr(sys, "argv", ["corpus", "--from", str(tmp_path), "--only", first.path])
    monkeypatch.setattr(corpus, "listed", lambda: LISTED[:2])
    assert corpus.main() == 0
    told = capsys.readouterr().out
    assert f"{first.repository} {first.commit[:12]} {first.path}" in told
    assert "worker unit" in told
    assert "1 files; median" in told
