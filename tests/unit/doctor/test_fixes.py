"""Every fix that the doctor prints is applied, and the doctor is clean afterwards."""

from __future__ import annotations

from dataclasses import replace

import pytest

from celery_graceful.doctor.examine import examine
from celery_graceful.doctor.facts import AppFacts, Kind, TaskFacts
from celery_graceful.doctor.facts.running_workers import Seen
from celery_graceful.doctor.finding import Finding, Severity
from celery_graceful.doctor.readers import read_text
from tests.unit.doctor.applied import applied, applied_to_app
from tests.unit.doctor.planted import PLANTED, Planted
from tests.unit.doctor.sound import APP, COMPOSE, KUBERNETES

#: Fixes in words, which say what to take out, or where to move a thing.
IN_WORDS = {
    "GD010", "GD108", "GD204", "GD208", "GD209", "GD210", "GD304", "GD305", "GD306", "GD307",
    "GD309", "GD401", "GD402", "GD503", "GD601", "GD602", "GD603", "GD604", "GD605", "GD701",
    "GD702", "GD703", "GD801", "GD802", "GD803", "GD804", "GD805", "GD806",
}  # fmt: skip


def found(text: str, file: str, app: AppFacts, seen: Seen) -> list[Finding]:
    outcome = read_text(text, file)
    assert not outcome.troubles
    assert outcome.workers, text
    findings = examine(app, [outcome], seen, asked_for="shop").findings
    return [each for each in findings if each.severity is not Severity.NOTE or _changes(each)]


def _changes(note: Finding) -> bool:
    """Notes say what to write, too; but for those in words."""
    return note.id not in IN_WORDS


def all_fixed(text: str, file: str, app: AppFacts, seen: Seen) -> str:
    """The text with every fix applied, one after the other; fails if that does not end."""
    for _ in range(12):
        findings = found(text, file, app, seen)
        if not findings:
            return text
        for finding in findings:
            before = text, app
            if finding.file and not finding.fix.startswith("app.conf"):
                text = applied(finding, file, text)
            else:
                app = applied_to_app(finding, app)
            if (text, app) != before:
                break  # lines have moved
    raise AssertionError(f"it does not become clean: {findings[0]}\n{text}")


FIXED = [each for each in PLANTED if each.file and each.finds not in IN_WORDS]


@pytest.mark.parametrize("planted", FIXED, ids=lambda planted: planted.name)
def test_the_fix_of_each_fault_works(planted: Planted) -> None:
    all_fixed(planted.bad, planted.file, planted.bad_app, planted.seen)


STARTS = {
    "a plain command": ("celery -A shop worker", 'CMD ["celery", "-A", "shop", "worker"]'),
    "a program in front": (
        "newrelic-admin run-program celery -A shop worker",
        'CMD ["newrelic-admin", "run-program", "celery", "-A", "shop", "worker"]',
    ),
    "a variable": (
        "celery -A shop worker -c $CONCURRENCY",
        "CMD exec celery -A shop worker -c $CONCURRENCY",
    ),
    "a variable with a default": (
        'nice -n5 celery -A shop worker -Q "${QUEUES:-celery}"',
        'CMD exec nice -n5 celery -A shop worker -Q "${QUEUES:-celery}"',
    ),
    "something before it": (
        "migrate && celery -A shop worker",
        "CMD migrate && exec celery -A shop worker",
    ),
    "on a line of its own": (
        "migrate && \\\n    celery -A shop worker",
        "CMD migrate && exec celery -A shop worker",
    ),
    "a variable in front": (
        "LEVEL=INFO celery -A shop worker",
        "CMD LEVEL=INFO exec celery -A shop worker",
    ),
    "a pipe": ("celery -A shop worker | tee log", "CMD exec celery -A shop worker"),
    "the background": ("celery -A shop worker & wait", "CMD exec celery -A shop worker"),
    "a redirection": (
        "celery -A shop worker >>/log 2>&1",
        "CMD exec celery -A shop worker >>/log 2>&1",
    ),
}


@pytest.mark.parametrize(("text", "fix"), STARTS.values(), ids=STARTS.keys())
def test_what_to_write_in_a_dockerfile(text: str, fix: str) -> None:
    for front in ("", 'ENTRYPOINT ["tini", "--"]\n'):
        dockerfile = f"FROM a\n{front}CMD {text}\n"
        (finding,) = found(dockerfile, "Dockerfile", APP, Seen())
        assert finding.fix == fix
        assert all_fixed(dockerfile, "Dockerfile", APP, Seen()) == f"FROM a\n{front}{fix}\n"


def test_what_to_write_for_an_entry_point_in_the_shell_form() -> None:
    dockerfile = "FROM a\nENTRYPOINT celery -A shop worker\nCMD ignored\n"
    (finding,) = found(dockerfile, "Dockerfile", APP, Seen())
    assert (finding.line, finding.fix) == (2, 'ENTRYPOINT ["celery", "-A", "shop", "worker"]')
    dockerfile = 'FROM a\nENTRYPOINT ["sh", "-c", "celery -A \\"shop\\" worker -c $N"]\n'
    (finding,) = found(dockerfile, "Dockerfile", APP, Seen())
    assert finding.fix == 'exec celery -A "shop" worker -c $N'
    all_fixed(dockerfile, "Dockerfile", APP, Seen())


@pytest.mark.parametrize(
    ("line", "fix"),
    [
        ("celery -A shop worker", "GRACEFUL_GRACE_PERIOD=5s celery -A shop worker"),
        ("cd a && celery -A shop worker", "cd a && GRACEFUL_GRACE_PERIOD=5s celery -A shop worker"),
        (
            "A=1 exec celery -A shop worker",
            "A=1 GRACEFUL_GRACE_PERIOD=5s exec celery -A shop worker",
        ),
    ],
)
def test_a_variable_stands_directly_before_the_command(line: str, fix: str) -> None:
    app = replace(APP, tasks=APP.tasks[:1])
    (finding,) = found(f"worker: {line}\n", "Procfile", app, Seen())
    assert finding.fix == f"worker: {fix}"
    all_fixed(f"worker: {line}\n", "Procfile", app, Seen())


@pytest.mark.parametrize(
    ("line", "fix"),
    [
        ("/bin/celery -A shop worker -D -E", "/bin/celery -A shop worker -E"),
        ("/bin/celery multi start w1 -A shop -Q a", "/bin/celery -A shop worker -Q a"),
        (
            "/bin/celery -A shop multi start w1 --pidfile=/%%n.pid -c:w1 3",
            "/bin/celery -A shop worker -c 3",
        ),
    ],
)
def test_what_to_write_instead_of_multi_and_detach(line: str, fix: str) -> None:
    unit = f"[Service]\nExecStart={line}\nKillMode=mixed\nRestart=always\nTimeoutStopSec=60\n"
    (finding,) = found(unit, "w.service", APP, Seen())
    assert (finding.id, finding.fix) == ("GD302", fix)
    all_fixed(unit, "w.service", APP, Seen())


SLOW = replace(
    APP,
    tasks=(
        APP.tasks[0],
        TaskFacts("shop.mail", Kind.PLAIN, "celery", True, True, time_limit=600),
        TaskFacts("shop.bill", Kind.PLAIN, "celery", True, True, time_limit=90),
    ),
)
TOLD = {
    "compose.yml": "services:\n  w:\n    restart: always\n    command: celery -A shop worker\n",
    "short.yml": COMPOSE.replace(
        "    stop_grace_period: ${GRACE:-1m}", "    stop_grace_period: 2s"
    ),
    "w.yaml": KUBERNETES.replace("value: 55s", "value: 2m"),
    "supervisord.conf": "[program:worker]\ncommand=celery -A shop worker\n",
    "w.service": "[Service]\nExecStart=celery -A shop worker\nRestart=always\nKillMode=mixed\n",
}


@pytest.mark.parametrize("file", TOLD)
def test_one_report_proposes_one_period(file: str) -> None:
    seen = Seen(longest={"shop.bill": 40.0}, items={"shop.import": 100.0})
    findings = found(TOLD[file], file, SLOW, seen)
    assert len(findings) > 1 or file == "w.service"
    hook = 5 if file == "w.yaml" else 0
    proposed = {_seconds(each.fix.split(";")[0]) for each in findings}
    told = {each for each in proposed if each < max(proposed)}
    assert told <= {max(proposed) - hook}, [each.fix for each in findings]
    assert max(proposed) >= 600
    all_fixed(TOLD[file], file, SLOW, seen)


def _seconds(fix: str) -> int:
    return int("".join(character for character in fix if character.isdigit()))


@pytest.mark.parametrize(
    ("text", "alone"),
    [
        ("celery -A shop worker & wait", True),
        ("celery -A shop worker &\nsleep 5\nwait $!", True),
        ("celery -A shop worker & gunicorn shop", False),
        ("celery -A shop worker & celery -A shop worker -Q b", False),
        ('if [ -n "$X" ]; then celery -A shop worker; else celery -A shop worker -E; fi', True),
        ("celery -A shop worker\necho gone", True),
    ],
)
def test_a_worker_beside_something_else_gets_a_home_of_its_own(text: str, alone: bool) -> None:
    script = f"#!/bin/sh\n{text}\n"
    findings = [each for each in found(script, "w.sh", APP, Seen()) if each.id == "GD301"]
    assert findings
    for each in findings:
        assert each.fix.startswith("exec " if alone else "a process of its own for the worker: ")


NESTED = {
    "a dollar sign of compose": (
        "compose.yml",
        "services:\n  w:\n    restart: always\n    stop_grace_period: 60s\n"
        "    environment: {GRACEFUL_GRACE_PERIOD: 60s}\n"
        "    command: sh -c 'celery -A shop worker -l $$LEVEL -c ${N:-2}'\n",
        ["exec celery -A shop worker -l $$LEVEL -c ${N:-2}"],
    ),
    "a variable of Kubernetes": (
        "w.yaml",
        KUBERNETES.replace(
            '["celery", "-A", "shop", "worker", "-n", "worker@%h"]',
            '["sh", "-c", "celery -A shop worker -Q $(LEVEL),celery -c $$(N)"]',
        ),
        ["exec celery -A shop worker -Q $(LEVEL),celery -c $$(N)"],
    ),
    "a percent sign of systemd": (
        "w.service",
        "[Service]\nEnvironment=BIN=/bin\nRestart=always\nKillMode=mixed\n"
        "ExecStart=/bin/sh -c '${BIN}/celery -A shop worker -n w@%%h'\n",
        ["exec ${BIN}/celery -A shop worker -n w@%%h"],
    ),
    "a percent sign of supervisord": (
        "w.conf",
        "[program:worker]\nstopwaitsecs=60\ncommand=sh -c 'celery -A shop worker -n w@%%h'\n",
        ["exec celery -A shop worker -n w@%%h"],
    ),
    "two shells": (
        "w.sh",
        "#!/bin/sh\nbash -c 'cd /srv; nice celery -A shop worker; true'\n",
        [
            "exec bash -c 'cd /srv; nice celery -A shop worker; true'",
            "exec nice celery -A shop worker",
        ],
    ),
}


@pytest.mark.parametrize("name", NESTED)
def test_fixes_are_written_as_the_file_has_it(name: str) -> None:
    file, text, fixes = NESTED[name]
    findings = found(text, file, APP, Seen())
    assert [each.fix for each in findings if each.id == "GD301"] == fixes
    for fix in fixes:
        at = text.index(fix.removeprefix("exec "))
        text = text[:at] + "exec " + text[at:]
    assert found(text, file, APP, Seen()) == []
