"""Compose as compose reads it, kinds of Kubernetes and OpenShift, templates, and odd files."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from celery_graceful.doctor.commands import shell_syntax
from celery_graceful.doctor.examine import examine
from celery_graceful.doctor.facts import Deployed, Manager
from celery_graceful.doctor.facts.processes import Process, workers_in
from celery_graceful.doctor.finding import exit_code
from celery_graceful.doctor.readers import read_file, read_files, read_text
from celery_graceful.doctor.readers.entry import MissingPackage
from tests.unit.doctor import sound


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".", 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def services(folder: Path, name: str = "compose.yml") -> dict[str, Deployed]:
    outcome = read_file(str(folder / name))
    assert not outcome.troubles, outcome.troubles[0].what
    return {each.name.removeprefix("service "): each for each in outcome.workers}


# -- compose -------------------------------------------------------------------------------------


def test_extends_in_the_same_file_and_in_another(tmp_path: Path) -> None:
    (tmp_path / "common").mkdir()
    (tmp_path / "common" / "base.yml").write_text(
        "services:\n  base:\n    extends: {service: first}\n    env_file: base.env\n"
        "    environment: [A=1, B=2]\n"
        "  first:\n    stop_grace_period: 50s\n    command: celery -A shop worker\n"
    )
    (tmp_path / "common" / "base.env").write_text("C=3\n")
    (tmp_path / "compose.yml").write_text(
        "services:\n  one:\n    extends: {file: common/base.yml, service: base}\n"
        "    environment: {B: 5}\n"
        "  two:\n    extends: one\n    command: celery -A shop worker -Q two\n"
        "  beat:\n    extends: one\n    command: celery -A shop beat\n"
    )
    found = services(tmp_path)
    assert sorted(found) == ["one", "two"]
    assert found["one"].seconds_to_stop == 50
    assert found["one"].place.file.endswith("base.yml")
    values = {name: given.value for name, given in found["two"].environment.items()}
    assert values == {"A": "1", "B": "5", "C": "3"}
    assert found["two"].place.line == 7


def test_services_that_extend_each_other_are_read_once(tmp_path: Path) -> None:
    (tmp_path / "compose.yml").write_text(
        "services:\n  a: {extends: b, command: celery -A shop worker}\n  b: {extends: a}\n"
        "  c: {extends: {file: compose.yml, service: c}}\n"
    )
    assert sorted(services(tmp_path)) == ["a", "b"]


def test_an_override_file_is_added_as_compose_adds_it(tmp_path: Path) -> None:
    (tmp_path / "compose.yml").write_text(
        "services:\n  w:\n    image: a\n    command: celery -A shop worker\n"
        "    environment: [A=1]\n  x:\n    command: celery -A shop worker\n"
    )
    (tmp_path / "compose.override.yml").write_text(
        "services:\n  w:\n    stop_grace_period: 90s\n    environment: {A: 2}\n  x: !reset null\n"
    )
    for found in (services(tmp_path), services(tmp_path, "compose.override.yml")):
        assert found["w"].seconds_to_stop == 90
        assert found["w"].environment["A"].value == "2"
        assert "x" not in found
    assert len(read_files([str(tmp_path)])) == 1, "in a folder it is no file of its own"


def test_included_files_and_fields_that_are_no_services(tmp_path: Path) -> None:
    (tmp_path / "compose.yml").write_text(
        "include: [more.yml, {path: [others.yml]}, none.yml]\n"
        "x-worker: &worker\n  command: celery -A shop worker\n  stop_grace_period: 40s\n"
        "x-env: &env {A: 1}\nservices:\n  one:\n    <<: *worker\n    environment:\n      <<: *env\n"
    )
    for name in ("more", "others"):
        (tmp_path / f"{name}.yml").write_text(
            f"services:\n  {name}:\n    command: celery -A shop worker\n"
        )
    found = services(tmp_path)
    assert sorted(found) == ["more", "one", "others"]
    assert found["one"].seconds_to_stop == 40
    assert found["one"].environment["A"].value == "1"


@pytest.mark.parametrize(
    ("written", "queues"),
    [
        ("${QUEUES}", "mail"),
        ("$QUEUES", "mail"),
        ("${QUEUES:-other}", "mail"),
        ("${NONE:-other}", "other"),
        ("${NONE-other}", "other"),
        ("${EMPTY:-other}", "other"),
        ("${NONE}", "${NONE}"),
        ("${NONE:?say so}", "${NONE:?say"),
        ("$$QUEUES", "$QUEUES"),
    ],
)
def test_variables_of_compose(written: str, queues: str, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("QUEUES=mail\nEMPTY=\n")
    (tmp_path / "compose.yml").write_text(
        f"services:\n  w:\n    command: celery -A shop worker -Q {written}\n"
    )
    assert services(tmp_path)["w"].command.options["queues"] == queues


def test_an_entry_script_of_the_image(tmp_path: Path) -> None:
    (tmp_path / "docker").mkdir()
    script = tmp_path / "docker" / "entry.sh"
    (tmp_path / "docker" / "Dockerfile").write_text(
        "FROM a\nWORKDIR /srv\nCOPY ./docker/entry.sh /bin/entry\nCOPY . .\n"
        'ENTRYPOINT ["/bin/entry"]\n'
    )
    (tmp_path / "compose.yml").write_text(
        "services:\n"
        "  w:\n    build: {context: ., dockerfile: docker/Dockerfile}\n"
        "    command: celery -A shop worker\n"
        "  role:\n    build: {context: ., dockerfile: docker/Dockerfile}\n"
        "    entrypoint: docker/entry.sh\n    command: role\n    environment: {ROLE: mail}\n"
        "  web:\n    build: {context: ., dockerfile: docker/Dockerfile}\n    command: gunicorn\n"
    )
    text = '#!/bin/sh\n[ "$1" = role ] && exec celery -A shop worker -Q "$ROLE"\nmigrate\n%s\n'
    script.write_text(text % 'exec "$@"')
    found = services(tmp_path)
    assert not any(each.stays for each in found["w"].command.shells)
    assert found["role"].command.options["queues"] == "mail"
    assert (found["role"].started_at.file, found["role"].started_at.line) == (str(script), 2)
    assert found["role"].place.line == 8, "what belongs to the manager is told there"

    script.write_text(text % '"$@"')
    found = services(tmp_path)
    assert found["w"].command.shells[0].stays
    assert found["w"].place.line == 4, "the worker's own words"
    (finding,) = [
        each
        for each in examine(sound.APP, [read_file(str(tmp_path / "compose.yml"))]).findings
        if each.id == "GD301" and "service w" in each.what
    ]
    assert finding.fix == 'exec "$@"'
    assert finding.where == f"{script}:4", "what is to be changed"


def test_an_entry_script_that_takes_no_notice_of_the_command(tmp_path: Path) -> None:
    (tmp_path / "entry.sh").write_text(
        '#!/bin/sh\nif [ "$1" = worker ]; then exec celery -A shop worker; fi\nexec gunicorn shop\n'
    )
    (tmp_path / "Dockerfile").write_text('FROM a\nCOPY . .\nENTRYPOINT ["./entry.sh"]\n')
    (tmp_path / "compose.yml").write_text(
        "services:\n  one: {build: ., command: worker}\n"
        "  two: {build: ., command: celery -A shop worker}\n"
    )
    assert list(services(tmp_path)) == ["one"]


def test_a_dockerfile_with_an_entry_script_that_stays(tmp_path: Path) -> None:
    (tmp_path / "entry.sh").write_text('#!/bin/bash\n"$@"\n')
    (tmp_path / "Dockerfile").write_text(
        'FROM a\nADD entry.sh /\nENTRYPOINT ["/entry.sh"]\nCMD ["celery", "-A", "shop", "worker"]\n'
    )
    (finding,) = examine(sound.APP, [read_file(str(tmp_path / "Dockerfile"))]).findings
    assert (finding.id, finding.fix) == ("GD301", 'exec "$@"')
    assert finding.where.endswith("entry.sh:2")


# -- Kubernetes ----------------------------------------------------------------------------------

CONTAINER = "{name: w, command: [celery, -A, shop, worker]}"
KINDS = {
    "KEDA": (
        "kind: ScaledJob\nspec: {maxReplicaCount: 7, jobTargetRef: {template: {spec: "
        "{containers: [%s], terminationGracePeriodSeconds: 40}}}}",
        7,
    ),
    "Knative": (
        "kind: Service\nspec: {template: {spec: {terminationGracePeriodSeconds: 40, "
        "containers: [%s]}}}",
        None,
    ),
    "Clowder": (
        "kind: ClowdApp\nspec: {deployments: [{name: w, podSpec: {image: a, "
        "terminationGracePeriodSeconds: 40, args: [celery, -A, shop, worker]}}]}  # %s",
        None,
    ),
    "a template of OpenShift": (
        "kind: Template\nparameters: [{name: GRACE, value: '40'}, {name: N, value: '3'}, {name: X}]"
        "\nobjects: [{kind: DeploymentConfig, metadata: {name: '${X}'}, spec: {replicas: '${{N}}', "
        "template: {spec: {terminationGracePeriodSeconds: '${GRACE}', containers: [%s]}}}}]",
        3,
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_that_hold_a_pod(kind: str) -> None:
    text, copies = KINDS[kind]
    (worker,) = read_text(f"apiVersion: v1\n{text % CONTAINER}", "w.yaml").workers
    assert worker.seconds_to_stop == 40
    assert worker.misplaced == ()
    assert (worker.copies.value if worker.copies else None) == copies
    assert worker.name.endswith("container w")


def test_variables_of_a_container() -> None:
    text = (
        "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: w\n"
        "    command: [sh, -c, 'exec celery -A shop worker -Q $(QUEUES) -n $(NAME) "
        "-c $$(N) -P $P']\n"
        "    env:\n    - {name: QUEUES, value: 'a,b'}\n    - {name: P, value: threads}\n"
        "    - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}\n"
    )
    (worker,) = read_text(text, "pod.yaml").workers
    assert worker.command.options["queues"] == "a,b"
    assert worker.command.options["hostname"] == "$(NAME)"
    assert worker.command.options["pool"] == "threads"


# -- templates -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("w.yaml", "{{- if .Values.on }}\nkind: Deployment\n{{- end }}\n", "a Helm template"),
        ("w.yaml", "a: b\n{% if x %}\nc: d\n{% endif %}\n", "a Jinja template"),
        ("w.yml.j2", "kind: {{ kind }}\n", "a Jinja template"),
        ("w.yaml", "a: b\n<% if x %>\n", "an ERB template"),
        ("values-prod.yaml", "worker: {command: celery -A shop worker}\n", "a Helm chart"),
        ("_pods.tpl", '{{- define "pods" }}\nx\n{{- end }}\n', "a Helm template"),
    ],
)
def test_templates_are_named_as_such(name: str, text: str, says: str) -> None:
    (trouble,) = read_text(text, name).troubles
    assert says in trouble.what
    assert "render" in trouble.fix


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("w.sh", "#!/bin/sh\nexec celery -A {{ app | default('shop') }}.celery worker\n"),
        ("w.conf", "[program:w]\ncommand={{ bin }}/celery -A {{ app }} worker\n"),
        ("w.conf", "[program:w]\ncommand=/srv/<%= @name %>/bin/celery -A <%= @name %> worker\n"),
        ("Procfile", "web: x\n{%- if celery %}\nworker: celery -A {{ app }} worker\n{% endif %}\n"),
        ("w.service", "# {{ managed }}\n[Service]\nExecStart={{ bin }}/celery -A {{ a }} worker\n"),
    ],
)
def test_templates_that_can_be_read_are(name: str, text: str) -> None:
    (worker,) = read_text(text, name).workers
    assert worker.command.options["app"].startswith("{{")


# -- odd files -----------------------------------------------------------------------------------

RUN = "exec celery -A shop worker\n"


@pytest.mark.parametrize(
    "first",
    [
        "#!/usr/bin/with-contenv bash",
        "#!/command/with-contenv sh",
        "#!/usr/bin/env -S bash -e",
        "#!/usr/bin/env bash",
        "#! /bin/busybox sh",
        "#!/bin/sh -e",
        "#!/usr/bin/dumb-init /bin/sh",
    ],
)
def test_shebangs(first: str) -> None:
    (worker,) = read_text(f"{first}\n{RUN}", "run").workers
    assert (worker.manager, worker.place.line) == (Manager.SCRIPT, 2)


@pytest.mark.parametrize("name", ["start.sh", "start.bash"])
def test_a_script_by_its_name(name: str) -> None:
    assert read_text(RUN, name).workers
    assert not read_text("#!/usr/bin/env python\n" + RUN, name).workers


@pytest.mark.parametrize("file", ["worker.yaml", "shop.service", "supervisord.conf", "Dockerfile"])
@pytest.mark.parametrize("mark", ["\ufeff", ""])
def test_byte_order_marks_and_line_ends_of_windows(file: str, mark: str, tmp_path: Path) -> None:
    from tests.unit.doctor.planted import FILES

    path = tmp_path / file
    path.write_bytes((mark + FILES[file].replace("\n", "\r\n")).encode())
    windows, unix = read_file(str(path)), read_text(FILES[file], str(path))
    assert windows.workers == unix.workers
    assert windows.workers
    assert not windows.troubles


def test_lines_of_a_procfile_that_say_nothing() -> None:
    text = (
        "just text\nweb: gunicorn\n# worker: celery -A a worker\n2nd: celery -A shop worker\nx:\n"
    )
    (worker,) = read_text(text, "Procfile").workers
    assert (worker.name, worker.place.line) == ("process 2nd", 4)


def test_the_last_of_two_processes_of_a_name_holds() -> None:
    text = "worker: celery -A shop worker\nworker: celery -A shop beat\n"
    assert read_text(text, "Procfile").workers == ()


@pytest.mark.parametrize("name", ["notes", "install"])
def test_a_unit_within_another_text_is_none(name: str) -> None:
    text = "cat <<EOF >unit\n[Service]\nExecStart=/bin/celery -A shop worker\nEOF\n"
    assert read_text(text, name).workers == ()
    assert read_text("#!/bin/sh\n" + text, name).workers == ()


# -- what is not installed -----------------------------------------------------------------------


@pytest.fixture
def no_parser(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("tree_sitter"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    shell_syntax._parser.cache_clear()
    monkeypatch.setattr(builtins, "__import__", refuse)
    yield
    shell_syntax._parser.cache_clear()


PLAIN = [
    ("Procfile", "worker: A=1 celery -A shop worker -c $N\n"),
    ("Dockerfile", "FROM a\nCMD celery -A shop worker\n"),
    ("worker.yaml", sound.KUBERNETES),
    ("shop.service", sound.UNIT),
]
NEED_IT = [
    ("Procfile", "worker: cd srv && celery -A shop worker\n", 1),
    ("start.sh", "#!/bin/sh\nset -e\nexec celery -A shop worker\n", 1),
    ("Dockerfile", "FROM a\nCMD migrate; celery -A shop worker\n", 2),
    ("c.yml", "services:\n  w:\n    command: sh -c 'a; celery -A shop worker'\n", 3),
    ("x.service", "[Service]\nExecStart=/bin/sh -c 'a; celery -A shop worker'\n", 2),
    ("x.conf", "[program:w]\ncommand=bash -c 'a; celery -A shop worker'\n", 2),
]


@pytest.mark.usefixtures("no_parser")
@pytest.mark.parametrize(("name", "text"), PLAIN)
def test_plain_commands_need_no_parser(name: str, text: str) -> None:
    outcome = read_text(text, name)
    assert len(outcome.workers) == 1
    assert not outcome.troubles


@pytest.mark.usefixtures("no_parser")
@pytest.mark.parametrize(("name", "text", "line"), NEED_IT)
def test_without_the_parser_it_says_what_was_not_read(name: str, text: str, line: int) -> None:
    outcome = read_text(text, name)
    (trouble,) = outcome.troubles
    assert isinstance(trouble, MissingPackage)
    assert (trouble.place.file, trouble.place.line) == (name, line)
    assert "tree-sitter-bash is not installed" in trouble.what
    findings = examine(sound.APP, [outcome]).findings
    assert [each.id for each in findings] == ["GD005"]
    assert findings[0].fix == "pip install 'celery-graceful[doctor]'"
    assert exit_code(findings) == 10, "the file is not at fault"


@pytest.mark.usefixtures("no_parser")
def test_what_needs_no_parser_is_read_beside_what_does() -> None:
    text = "a: celery -A shop worker\nb: cd srv && celery -A shop worker\n"
    outcome = read_text(text, "Procfile")
    assert (len(outcome.workers), len(outcome.troubles)) == (1, 1)


@pytest.mark.usefixtures("no_parser")
def test_processes_are_looked_at_without_the_parser() -> None:
    line = ("xvfb-run", "sh", "-c", "cd srv; celery -A shop worker")
    worker = ("python", "celery", "-A", "shop", "worker")
    processes = [Process(1, 0, line), Process(7, 1, ("sh", "-c", line[-1])), Process(8, 7, worker)]
    assert [each.name for each in workers_in(processes)] == ["process 8"]


def test_a_missing_pyyaml_is_no_error_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    findings = examine(sound.APP, [read_text(sound.KUBERNETES, "w.yaml")]).findings
    assert [(each.id, each.severity.word) for each in findings] == [("GD005", "warning")]


def test_a_shell_text_that_is_too_large() -> None:
    (trouble,) = read_text("#!/bin/sh\n" + "a|" * 2000, "start").troubles
    assert "larger" in trouble.what
