"""Files as people write them: every worker in them is found, with file and line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from celery_graceful.doctor.examine import examine
from celery_graceful.doctor.facts import Deployed, Manager
from celery_graceful.doctor.readers import read_file, read_files, read_text
from celery_graceful.doctor.readers.entry import NoWorker
from tests.unit.doctor import sound


def only(text: str, file: str) -> Deployed:
    outcome = read_text(text, file)
    assert not outcome.troubles, outcome.troubles
    (worker,) = outcome.workers
    return worker


def line_of(part: str, text: str) -> int:
    return next(i for i, line in enumerate(text.splitlines(), 1) if part in line)


def test_kubernetes() -> None:
    worker = only(sound.KUBERNETES, "worker.yaml")
    assert worker.manager is Manager.KUBERNETES
    assert worker.name == "Deployment shop-worker, container worker"
    assert worker.place.line == line_of('"worker"', sound.KUBERNETES)
    assert worker.grace is not None
    assert (worker.grace.value, worker.grace.place.line) == (
        60,
        line_of("terminationGrace", sound.KUBERNETES),
    )
    assert worker.seconds_to_stop == 55
    assert worker.copies is not None
    assert worker.copies.value == 2
    assert worker.environment["LEVEL"].value == "INFO"


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("Pod", "{containers: [%s]}"),
        ("Deployment", "{template: {spec: {containers: [%s]}}}"),
        ("StatefulSet", "{template: {spec: {containers: [%s]}}}"),
        ("DaemonSet", "{template: {spec: {containers: [%s]}}}"),
        ("ReplicaSet", "{template: {spec: {containers: [%s]}}}"),
        ("Job", "{template: {spec: {containers: [{name: log}, %s]}}}"),
        ("Rollout", "{template: {spec: {containers: [%s]}}}"),
        ("DeploymentConfig", "{template: {spec: {containers: [%s]}}}"),
        ("CronJob", "{jobTemplate: {spec: {template: {spec: {containers: [%s]}}}}}"),
    ],
)
def test_every_kind_of_workload_alone_and_in_a_list(kind: str, spec: str) -> None:
    filled = spec % "{name: worker, args: [celery, -A, shop, worker]}"
    one = f"apiVersion: v1\nkind: {kind}\nmetadata: {{name: w}}\nspec: {filled}\n"
    assert only(one, "w.yaml").name == f"{kind} w, container worker"
    several = (
        f"apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: {kind}\n  spec: {filled}"
    )
    assert only(several, "w.yaml").manager is Manager.KUBERNETES


def test_a_native_sidecar_counts_and_an_init_container_does_not() -> None:
    text = (
        "apiVersion: v1\nkind: Pod\nspec:\n  containers: [{name: web}]\n  initContainers:\n"
        "  - {name: once, command: [celery, -A, shop, worker]}\n"
        "  - {name: beside, command: [celery, -A, shop, worker], restartPolicy: Always}\n"
    )
    assert only(text, "pod.yaml").name == "Pod ?, container beside"


def test_systemd_with_a_drop_in(tmp_path: Path) -> None:
    unit = tmp_path / "shop.service"
    unit.write_text(sound.UNIT)
    folder = tmp_path / "shop.service.d"
    folder.mkdir()
    drop_in = folder / "10-quick.conf"
    drop_in.write_text(
        "[Service]\nExecStart=\nExecStart=-/opt/celery -A shop worker\nTimeoutStopSec=7\n"
    )
    for named in (unit, drop_in):
        (worker,) = read_file(str(named)).workers
        assert worker.command.text == "-/opt/celery -A shop worker"
        assert worker.place.file == str(drop_in)
        assert worker.grace is not None
        assert (worker.grace.value, worker.grace.place.line) == (7, 4)
        assert worker.option("KillMode") == "mixed"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("90", 90), ("1min 30s", 90), ("5min", 300), ("2h", 7200), ("infinity", None), ("0", None)],
)
def test_time_spans_of_systemd(value: str, seconds: float | None) -> None:
    worker = only(sound.UNIT.replace("1min", value), "shop.service")
    assert worker.seconds_to_stop == seconds


def test_supervisord() -> None:
    worker = only(sound.SUPERVISORD, "supervisord.conf")
    assert worker.name == "program worker"
    assert worker.seconds_to_stop == 60
    assert worker.environment["LEVEL"].value == "INFO"
    assert worker.copies is not None
    assert worker.copies.value == 2


def test_supervisord_with_options_indented_and_values_continued() -> None:
    text = (
        "[program:w]\n    command = celery -A shop worker\n        -E ; events\n\n"
        '    stopwaitsecs = 600\n    environment = A="1",\n        B="2"\n'
    )
    worker = only(text, "w.conf")
    assert worker.seconds_to_stop == 600
    assert worker.command.words[-1] == "-E"
    assert {name: each.value for name, each in worker.environment.items()} == {"A": "1", "B": "2"}


def test_celerys_own_way_of_a_unit() -> None:
    text = (
        "[Service]\nType=forking\nEnvironmentFile=/etc/conf.d/celery\n"
        "ExecStart=/bin/sh -c '${CELERY_BIN} -A $CELERY_APP multi start $CELERYD_NODES \\\n"
        "    --pidfile=${CELERYD_PID_FILE}'\n"
        "ExecStop=/bin/sh -c '${CELERY_BIN} multi stopwait $CELERYD_NODES'\nRestart=always\n"
    )
    worker = only(text, "celery.service")
    assert worker.command.multi
    assert examine(sound.APP, [read_text(text, "celery.service")]).findings == ()


def test_compose_with_anchors_and_defaults_of_variables() -> None:
    worker = only(sound.COMPOSE, "compose.yaml")
    assert worker.name == "service worker"
    assert worker.seconds_to_stop == 60
    assert worker.environment["LEVEL"].value == "INFO"
    assert worker.option("restart") == "unless-stopped"
    assert not worker.command.shells  # a text is no shell's


def test_compose_takes_what_its_dockerfile_says(tmp_path: Path) -> None:
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text("FROM python\nSTOPSIGNAL SIGINT\nCMD celery -A shop worker\n")
    (tmp_path / "worker.env").write_text("REMAP_SIGTERM=SIGQUIT\n")
    compose = tmp_path / "compose.yaml"
    compose.write_text("services:\n  worker:\n    build: .\n    env_file: worker.env\n")
    (worker,) = read_file(str(compose)).workers
    assert worker.manager is Manager.COMPOSE
    assert (worker.started_at.file, worker.started_at.line) == (str(dockerfile), 3)
    assert (worker.place.file, worker.place.line) == (str(compose), 2)
    assert worker.stop_signal is not None
    assert worker.stop_signal.value == "SIGINT"
    assert worker.command.shells
    assert worker.environment["REMAP_SIGTERM"].value == "SIGQUIT"


def test_a_dockerfile_by_its_last_stage() -> None:
    text = (
        'FROM python AS base\nENTRYPOINT ["celery", "-A", "shop"]\n\n'
        "FROM node AS assets\nCMD npm run build\n\n"
        'FROM base\n# the worker\nCMD ["worker", \\\n  "-E"]\n'
    )
    worker = only(text, "Dockerfile")
    assert worker.command.text == "celery -A shop worker -E"
    assert worker.place.line == line_of('CMD ["worker"', text)


def test_a_procfile_and_the_environment_beside_it(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("# settings\nREMAP_SIGTERM=SIGQUIT\n")
    procfile = tmp_path / "Procfile"
    procfile.write_text("web: gunicorn shop\nworker: celery -A shop worker\n")
    (worker,) = read_file(str(procfile)).workers
    assert (worker.name, worker.place.line) == ("process worker", 2)
    assert worker.environment["REMAP_SIGTERM"].place.line == 2


SCRIPT = """\
#!/usr/bin/env bash
set -euo pipefail
# celery worker of the shop
if [[ "${WAIT:-}" == "yes" ]]; then
    ./wait-for-it "$(echo "$BROKER" | cut -d/ -f3)" 2>&1
fi
case "$1" in
    worker) %s -A shop worker -c $(nproc) ;;
    beat) exec celery -A shop beat ;;
esac
"""


@pytest.mark.parametrize(("start", "ids"), [("exec celery", []), ("celery", ["GD301"])])
def test_an_entry_script(start: str, ids: list[str], tmp_path: Path) -> None:
    text = SCRIPT % start
    outcome = read_text(text, "start")
    (worker,) = outcome.workers
    assert worker.place.line == line_of("worker)", text)
    assert [each.id for each in examine(sound.APP, [outcome]).findings] == ids

    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "worker").write_text(text)
    compose = tmp_path / "compose.yaml"
    compose.write_text(
        "services:\n  worker:\n    image: shop\n    command: ./bin/worker worker\n"
        "    restart: always\n    stop_grace_period: 60s\n"
        "    environment: {GRACEFUL_GRACE_PERIOD: 60s}\n"
    )
    findings = examine(sound.APP, [read_file(str(compose))]).findings
    assert [each.id for each in findings] == ids


def test_a_folder_gives_the_workers_of_all_its_files(tmp_path: Path) -> None:
    (tmp_path / "worker.yaml").write_text(sound.KUBERNETES)
    (tmp_path / "notes.txt").write_text("celery -A shop worker")
    (tmp_path / "values.yaml").write_text("replicas: 2\n")
    nested = tmp_path / "systemd"
    nested.mkdir()
    (nested / "shop.service").write_text(sound.UNIT)
    found = [worker.manager for each in read_files([str(tmp_path)]) for worker in each.workers]
    assert found == [Manager.SYSTEMD, Manager.KUBERNETES]


UNRELATED = {
    "nginx.conf": "server {\n  listen 80;\n}\n",
    "alembic.ini": "[alembic]\nscript_location = migrations\n",
    "values.yaml": "image: shop\nresources:\n  limits: {}\n",
    "prometheus.yml": "global:\n  scrape_interval: 15s\nscrape_configs: []\n",
    "backup.sh": "pg_dump shop > shop.sql\n",
}


def test_what_else_lies_in_a_folder_is_passed_over(tmp_path: Path) -> None:
    for name, text in UNRELATED.items():
        (tmp_path / name).write_text(text)
        assert read_files([str(tmp_path / name)])[0].troubles, "who names it wants to know"
    (tmp_path / "worker.yaml").write_text(sound.KUBERNETES)
    (outcome,) = read_files([str(tmp_path)])
    assert len(outcome.workers) == 1
    assert not outcome.troubles
    (tmp_path / "other.yaml").write_text("kind: {{ .Values.kind }}\n")
    (tmp_path / "third.yaml").write_text("a: b: c\n")
    troubles = [t.what for each in read_files([str(tmp_path)]) for t in each.troubles]
    assert len(troubles) == 2
    assert "template" in troubles[0]
    assert "not YAML" in troubles[1]


def test_a_folder_below_one_with_a_dot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ".ci" / "deploy"
    folder.mkdir(parents=True)
    (folder / "worker.yaml").write_text(sound.KUBERNETES)
    (folder / ".hidden.yaml").write_text(sound.KUBERNETES)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for name in (str(folder), "../.ci", "../.ci/deploy"):
        assert [len(each.workers) for each in read_files([name])] == [1], name
    (outcome,) = read_files([".."])
    assert isinstance(outcome.troubles[0], NoWorker), "what is hidden in it stays so"


def test_a_folder_without_a_worker_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "service.yaml").write_text("apiVersion: v1\nkind: Service\n")
    (tmp_path / "values.yaml").write_text("replicas: 2\n")
    (finding,) = examine(sound.APP, read_files([str(tmp_path)])).findings
    assert (finding.id, finding.file) == ("GD002", str(tmp_path))


def test_kind_by_content_whatever_the_name() -> None:
    assert only(sound.KUBERNETES, "worker.txt").manager is Manager.KUBERNETES
    assert only(sound.UNIT, "celery").manager is Manager.SYSTEMD
    assert only(sound.SUPERVISORD, "celery.ini").manager is Manager.SUPERVISORD
    assert only(sound.DOCKERFILE, "worker.Dockerfile").manager is Manager.DOCKER
    assert only(sound.COMPOSE, "stack").manager is Manager.COMPOSE


@pytest.mark.parametrize(
    ("text", "file", "line", "says"),
    [
        ("kind: {{ .Values.kind }}\n", "w.yaml", 1, "template"),
        ("a: 1\n{{- if .Values.on }}\nb: 2\n{{- end }}\n", "w.yaml", 2, "template"),
        ("a: [1\nb: 2\n", "w.yaml", 2, "not YAML"),
        ("a: b: c\n", "w.yml", 1, "not YAML"),
        ("some text\nof no kind\n", "README", 0, "kind is unknown"),
        ("replicas: 2\n", "values.yaml", 0, "values for a Helm chart"),
        ("replicas: 2\n", "other.yaml", 0, "kind is unknown"),
        ("\x00\x01", "w.yaml", 0, "not YAML"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(
    text: str, file: str, line: int, says: str
) -> None:
    (trouble,) = read_text(text, file).troubles
    assert says in trouble.what
    assert trouble.fix
    assert (trouble.place.file, trouble.place.line) == (file, line)


def test_without_pyyaml_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    (trouble,) = read_text(sound.KUBERNETES, "w.yaml").troubles
    assert "PyYAML is not installed" in trouble.what
    assert "celery-graceful[doctor]" in trouble.fix
    assert read_text(sound.UNIT, "w.service").workers


def test_files_that_are_not_there_or_no_text(tmp_path: Path) -> None:
    (trouble,) = read_file(str(tmp_path / "none.yaml")).troubles
    assert "cannot be read" in trouble.what
    binary = tmp_path / "worker.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    (trouble,) = read_file(str(binary)).troubles
    assert "UTF-8" in trouble.what


def test_a_file_that_was_named_and_has_no_worker(tmp_path: Path) -> None:
    service = tmp_path / "service.yaml"
    service.write_text("apiVersion: v1\nkind: Service\n")
    (outcome,) = read_files([str(service)])
    assert isinstance(outcome.troubles[0], NoWorker)
    (tmp_path / "w.yaml").write_text(sound.KUBERNETES)
    assert all(not each.troubles for each in read_files([str(tmp_path)]))
