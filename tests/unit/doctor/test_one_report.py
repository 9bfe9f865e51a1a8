"""What one report says of one worker fits together, and leaves nothing for the next report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from celery_graceful.doctor.examine import Examination, examine
from celery_graceful.doctor.facts.running_workers import Seen
from celery_graceful.doctor.readers import read_files, read_text
from tests.unit.doctor import sound


def examined(text: str, file: str) -> Examination:
    return examine(sound.APP, [read_text(text, file)], asked_for="shop")


def fixes(text: str, file: str) -> dict[str, str]:
    return {finding.id: finding.fix for finding in examined(text, file).findings}


@pytest.mark.parametrize(
    ("file", "text", "behind"),
    [
        (
            "w.service",
            sound.UNIT.replace("KillMode=mixed", "KillSignal=SIGHUP"),
            "KillMode=control-group sends SIGHUP to all",
        ),
        (
            "s.conf",
            sound.SUPERVISORD.replace("stopasgroup=false", "stopasgroup=true\nstopsignal=HUP"),
            "stopasgroup=true sends SIGHUP to all",
        ),
    ],
)
def test_a_wrong_signal_does_not_hide_whom_it_reaches(file: str, text: str, behind: str) -> None:
    findings = examined(text, file).findings
    assert {"GD207"} < {finding.id for finding in findings}
    assert any(behind in finding.what for finding in findings)


@pytest.mark.parametrize(
    ("file", "text", "fix"),
    [
        ("k.yaml", sound.KUBERNETES.replace("worker@%h", "mail@shop"), "-n mail@%h"),
        ("k.yaml", sound.KUBERNETES.replace("worker@%h", "mail"), "-n mail@%h"),
        (
            "s.conf",
            sound.SUPERVISORD.replace("-n worker%(process_num)d@%%h", "-n mail@%%h"),
            "-n mail%(process_num)d@%%h",
        ),
    ],
)
def test_a_node_keeps_its_name_when_it_gets_that_of_its_host(
    file: str, text: str, fix: str
) -> None:
    assert fixes(text, file)["GD307"] == fix
    name = text.split("-n ")[1].split()[0] if file == "s.conf" else None
    if name:
        assert not fixes(text.replace(f"-n {name}", fix), file)


def test_both_fixes_of_one_line_double_its_percent_sign() -> None:
    text = sound.UNIT.replace(
        "ExecStart=/srv/shop/bin/celery -A shop worker \\\n    --loglevel=INFO",
        "ExecStart=/bin/sh -c 'cd /srv && celery -A shop worker -n mail@%h'",
    )
    found = fixes(text, "w.service")
    assert found["GD301"] == "exec celery -A shop worker -n mail@%%h"
    assert found["GD309"] == "-n mail@%%h"


def test_the_worker_of_a_script_is_that_of_the_service_that_starts_it(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        'FROM python\nCOPY entry.sh /entry.sh\nENTRYPOINT ["/entry.sh"]\n'
    )
    (tmp_path / "entry.sh").write_text("#!/bin/sh\ncelery -A shop worker\n")
    (tmp_path / "compose.yml").write_text("services:\n  worker:\n    build: .\n")
    paths: Sequence[str] = [str(tmp_path / "compose.yml"), str(tmp_path / "entry.sh")]
    found = examine(sound.APP, read_files(paths), asked_for="shop")
    assert [worker.name for worker in found.workers] == ["service worker"]
    assert [each.line for each in found.findings if each.id == "GD301"] == [2]
    assert "GD003" not in {each.id for each in found.findings}
    alone = examine(sound.APP, read_files(paths[1:]), asked_for="shop")
    assert [worker.name for worker in alone.workers] == ["the script"]


def test_settings_of_django_are_written_as_there_in_every_part() -> None:
    app = replace(sound.APP, settings_prefix="CELERY_", store="redis")
    finding = next(
        each
        for each in examine(app, [], Seen(persistent=False, workers=1)).findings
        if each.id == "GD806"
    )
    assert finding.subject == "CELERY_GRACEFUL_STORE"
    assert finding.fix.endswith("or another store in CELERY_GRACEFUL_STORE")
    plain = replace(app, settings_prefix="")
    found = examine(plain, [], Seen(persistent=False, workers=1)).findings
    assert [each.subject for each in found if each.id == "GD806"] == ["graceful_store"]
