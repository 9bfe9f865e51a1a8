"""``graceful doctor``: exit codes, what people read, what programs read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from celery import Celery

from celery_graceful.maintenance.workers import Report, encode_report
from celery_graceful.runtime import forget, runtime_of
from celery_graceful.stores.base import REPORTS
from tests.unit.cli.shop import Run
from tests.unit.doctor import sound

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _store_is_sound(redis_url: str) -> Iterator[None]:
    """The tests' server keeps nothing, of which the doctor would warn each time."""
    with redis.Redis.from_url(redis_url) as client:
        before = client.config_get("save")
        client.config_set("save", "86400 1000000000")
        yield
        client.config_set("save", before["save"])


@pytest.fixture
def mail(app: Celery) -> Celery:
    """The shop with a plain task."""

    @app.task(shared=False, name="shop.mail")
    def mail() -> None: ...

    return app


def planted(tmp_path: Path, sound_part: str = "", faulty: str = "") -> str:
    path = tmp_path / "worker.yaml"
    path.write_text(sound.KUBERNETES.replace(sound_part, faulty))
    return str(path)


def test_nothing_wrong(call: Run, tmp_path: Path) -> None:
    done = call("doctor", "--manifest", planted(tmp_path))
    assert done.exit_code == 0
    assert done.stdout == (
        "Nothing is wrong. Examined: the configuration, 1 worker in 1 file, 0 running.\n"
    )


def test_errors_are_told_with_line_reason_and_cure(mail: Celery, call: Run, tmp_path: Path) -> None:
    path = planted(tmp_path, '["celery"', '["dumb-init", "celery"')
    done = call("doctor", "--manifest", path)
    assert done.exit_code == 20
    lines = done.stdout.splitlines()
    assert lines[0] == path
    assert lines[1] == "  error GD203 line 24"
    assert "Deployment shop-worker, container worker: dumb-init" in lines[2]
    assert any(line.startswith("      Why: ") for line in lines)
    assert any("Fix: DUMB_INIT_SETSID=0 in its environment" in line for line in lines)
    assert lines[-1].startswith("1 error. Examined:")


def test_what_to_write_stands_alone_on_its_line(mail: Celery, call: Run, tmp_path: Path) -> None:
    path = planted(tmp_path, '["celery"', '["dumb-init", "celery"')
    lines = call("doctor", "--manifest", path).stdout.splitlines()
    at = lines.index("      Fix: DUMB_INIT_SETSID=0 in its environment")
    assert lines[at + 1] == "      or dumb-init --single-child"


def test_a_store_that_is_away_does_not_mean_that_workers_were_not_asked(
    app: Celery, call: Run
) -> None:
    app.conf.graceful_store = "redis://127.0.0.1:1/0"
    forget(app)
    done = call("doctor")
    assert "the store was not read: redis://127.0.0.1:1/0" in done.stdout
    assert "were not asked" not in done.stdout


def test_warnings(call: Run, tmp_path: Path) -> None:
    done = call("doctor", "-m", planted(tmp_path, "worker@%h", "worker@shop"))
    assert done.exit_code == 10
    assert "warning GD307" in done.stdout


def test_the_worst_of_a_file_comes_first(call: Run, tmp_path: Path) -> None:
    path = planted(tmp_path, '"worker@%h"]', '"worker@shop", "--purge"]')
    done = call("doctor", "-m", path)
    words = [line.split()[0] for line in done.stdout.splitlines() if " GD" in line]
    assert words == ["error", "warning"]
    assert done.exit_code == 20


def test_data_for_programs(call: Run, tmp_path: Path) -> None:
    path = planted(tmp_path, "worker@%h", "worker@shop")
    done = call("doctor", "--json", "--manifest", path, "--no-workers")
    data = json.loads(done.stdout)
    assert done.exit_code == 10
    assert (data["schema"], data["app"], data["running"]) == (1, "shop", None)
    (finding,) = data["findings"]
    assert finding["id"] == "GD307"
    assert (finding["severity"], finding["file"], finding["line"]) == ("warning", path, 24)
    assert finding["what"]
    assert finding["why"]
    assert finding["fix"]
    (deployed,) = data["deployed"]
    assert (deployed["seconds_to_stop"], deployed["copies"]) == (55, 2)


def test_what_running_workers_have_seen(mail: Celery, call: Run, tmp_path: Path) -> None:
    store = runtime_of(mail).store
    report = Report("w@host", 1, "prefork", 2, queues=("celery",), longest={"shop.mail": 77.0})
    store.write_text(REPORTS, "w@host/1", encode_report(report), keep=60)
    try:
        done = call("doctor", "-m", planted(tmp_path))
        assert done.exit_code == 20
        assert "GD104" in done.stdout
        assert "shop.mail took 1m 17s recently" in done.stdout
        assert done.stdout.endswith("1 running.\n")
        assert call("doctor", "-m", planted(tmp_path), "--no-workers").exit_code == 0
    finally:
        store.delete_text(REPORTS, "w@host/1")


def test_a_store_that_is_away_is_told_and_the_rest_examined(app: Celery, call: Run) -> None:
    app.conf.graceful_store = "redis://127.0.0.1:1/0"
    forget(app)
    done = call("doctor")
    assert done.exit_code == 10
    assert "GD004" in done.stdout
    assert call("doctor", "--no-workers").exit_code == 0


def test_a_store_that_cannot_be_used_is_told_and_the_rest_examined(
    app: Celery, call: Run, tmp_path: Path
) -> None:
    app.conf.graceful_store = "sentinel://:hidden@127.0.0.1:1/0"
    forget(app)
    done = call("doctor", "-m", planted(tmp_path))
    assert done.exit_code == 20
    assert "GD807" in done.stdout
    assert "master_name" in done.stdout
    assert "hidden" not in done.stdout


def test_a_memory_store_is_no_reason_to_refuse(app: Celery, call: Run, tmp_path: Path) -> None:
    app.conf.graceful_store = "memory://"
    forget(app)
    assert call("doctor").exit_code == 0
    done = call("doctor", "-m", planted(tmp_path))
    assert done.exit_code == 20
    assert "GD801" in done.stdout


def test_wrong_settings_and_files_that_are_not_there(app: Celery, call: Run) -> None:
    assert call("doctor", "--manifest", "none.yaml").exit_code == 2
    app.conf.graceful_lease_ttl = "soon"
    forget(app)
    done = call("doctor")
    assert done.exit_code == 2
    assert "graceful_lease_ttl" in done.stderr


def test_the_examples_pass_with_the_example_app() -> None:
    code = (
        "from celery.bin.celery import celery; from celery_graceful.cli import graceful; "
        "celery.add_command(graceful); celery(prog_name='celery')"
    )
    words = ["-A", "shop", "graceful", "doctor", "--no-workers", "--json", "-m", "deploy"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=ROOT / "example_project",
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), "."])},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    data = json.loads(done.stdout)
    assert data["findings"] == []
    managers = {each["manager"] for each in data["deployed"]}
    assert managers == {
        "Kubernetes",
        "systemd",
        "supervisord",
        "docker-compose",
        "Dockerfile",
        "Procfile",
    }


def test_processes_need_psutil(call: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("celery_graceful.doctor.facts.processes.readable", lambda: False)
    done = call("doctor", "--processes", "--no-workers", "-m", planted(tmp_path))
    assert done.exit_code == 0
    assert "left out: pip install 'celery-graceful[processes]'" in done.stderr
