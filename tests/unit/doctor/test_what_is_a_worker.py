"""What starts a Celery worker, and what only looks like it."""

from __future__ import annotations

import pytest

from celery_graceful.doctor.commands.search import (
    commands_in_words,
    workers_in_script,
    workers_in_text,
)
from celery_graceful.doctor.commands.shell_text import ScriptFile
from celery_graceful.doctor.commands.worker_command import Command
from celery_graceful.doctor.readers import read_text

WORKERS = {
    "by a variable with the folder": "${BIN}celery -A shop worker",
    "by a variable with the path": "$CELERY_BIN -A shop worker",
    "by a variable that the text sets": 'APP=shop\nCMD="celery -A $APP worker"\nexec $CMD',
    "behind nice": "nice -n 5 celery -A shop worker",
    "behind nice and ionice": "ionice -c 3 nice -n5 celery -A shop worker",
    "behind timeout": "timeout -k 5 1h celery -A shop worker",
    "behind newrelic": "newrelic-admin run-program celery -A shop worker",
    "behind a wait": "wait-for-it redis:6379 -t 30 -- celery -A shop worker",
    "behind watchmedo": "watchmedo auto-restart -d . -p '*.py' -- celery -A shop worker",
    "behind su": "su -s /bin/sh -c 'celery -A shop worker' shop",
    "behind su --command": "su shop --command 'nice ${BIN}celery -A shop worker'",
    "behind sudo, as the user celery": "sudo -E -u celery celery -A shop worker",
    "behind gosu, as the user celery": "gosu celery celery -A shop worker",
    "as a module": "python -u -m celery -A shop worker",
    "within another program": "nautobot-server celery worker -A shop",
    "with old options in front": "celery -A shop --events --uid=33 -P gevent -Q a worker",
    "with options in a variable": "celery -A shop $OPTIONS worker",
    "evaluated": 'eval "celery -A shop worker"',
    "watched": "watchfiles --filter python celery.__main__.main --args '-A shop worker'",
    "in a function that is called": "start() {\n  celery -A shop worker\n}\nstart",
    "by a function": 'run() { echo "$1"; exec "$@"; }\nrun celery -A shop worker',
    "in a branch": 'if [ -n "$X" ]; then\n exec celery -A shop worker\nfi',
    "behind a heredoc": "cat <<EOF >file\nx\nEOF\ncelery -A shop worker",
    "in a subshell": "(cd /srv && celery -A shop worker)",
    "by an init script": (
        'CELERYD_SU=${CELERYD_SU:-"su"}\n'
        'run() {\n  ${CELERYD_SU} "$USER" -c "$CELERYD_MULTI $*"\n}\n'
        "run $* start $NODES --app=shop"
    ),
    "in docker run": "docker run -d --name celery image celery -A shop worker",
}
OTHERS = {
    "a shell function": "worker() {\n  echo worker\n}\nworker",
    "a case label": 'case "$1" in\n  worker) echo hello ;;\nesac',
    "the value of an option": "celery -A worker beat",
    "whom to ask": "celery -A shop inspect ping -d worker",
    "a status": "celery -A shop status | grep worker",
    "said": "echo starting celery worker",
    "said by a function": 'log() { echo "$@"; }\nlog celery worker',
    "in a heredoc": "cat <<EOF >/etc/unit\nExecStart=celery -A shop worker\nEOF",
    "in a comment": "# celery -A shop worker\ntrue",
    "installed": "sudo apt-get install celery worker",
    "looked for": "pgrep -f 'celery -A shop worker' || kill $(pgrep -f celery worker)",
    "restarted by name": "supervisorctl restart celery worker",
    "stopped": "celery multi stopwait worker -A shop",
    "a name": "docker stop celery worker",
    "a function that nobody calls": "celery_worker() { true; }\ncelery_worker",
}


@pytest.mark.parametrize("text", WORKERS.values(), ids=WORKERS.keys())
def test_it_is_a_worker(text: str) -> None:
    (found,) = workers_in_text(text)
    assert found.options["app"] == "shop"


@pytest.mark.parametrize("text", OTHERS.values(), ids=OTHERS.keys())
def test_it_is_none(text: str) -> None:
    assert workers_in_text(text) == []


@pytest.mark.parametrize("words", [["worker"], ["beat", "worker"], ["server", "worker", "-c", "4"]])
def test_a_word_for_a_foreign_image_is_none(words: list[str]) -> None:
    assert not any(each.is_worker for each in commands_in_words(words))
    compose = f"services:\n  w:\n    image: other\n    command: {words}\n"
    assert read_text(compose, "compose.yaml").workers == ()


def test_every_worker_of_a_text_is_found() -> None:
    first, second = workers_in_text("celery -A a worker &\nexec celery -A b worker")
    assert (first.options["app"], second.options["app"]) == ("a", "b")
    assert [first.shells[0].stays, second.shells[0].stays] == [True, False]


def test_a_function_that_is_called_twice_is_one_worker() -> None:
    assert len(workers_in_text("w() { celery -A shop worker; }\nw || w")) == 1


ENTRY = """\
#!/bin/bash
set -e
serve() {
  exec gunicorn shop
}
case "$1" in
  web)
    serve
    ;;
  worker)
    shift
    exec celery -A shop worker "$@"
    ;;
  *)
    %s
    ;;
esac
"""


def entry(args: list[str] | None, last: str = 'exec "$@"') -> list[Command]:
    return workers_in_script(ScriptFile(ENTRY % last, "entry.sh"), args)


def test_a_script_is_read_as_it_is_called() -> None:
    (known,) = entry(["worker", "-c", "3"])
    assert (known.options["concurrency"], known.line, known.file) == ("3", 12, "entry.sh")
    assert entry(["web"]) == []
    assert entry(["beat"]) == []
    assert entry([]) == []
    assert len(entry(None)) == 1, "who calls it is not known"


def test_what_a_script_passes_on() -> None:
    args = ["celery", "-A", "mail", "worker"]
    (found,) = entry(args)
    assert found.options["app"] == "mail"
    assert not found.shells[0].stays
    (found,) = entry(args, last='"$@"')
    assert found.shells[0].stays
    assert (found.shells[0].source, found.line) == ('"$@"', 15)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('if [ "$ROLE" = "worker" ]; then celery -A a worker; else celery -A b worker; fi', "a"),
        ("if [[ $ROLE == web ]]; then celery -A a worker; else celery -A b worker; fi", "b"),
        ('if [ "$ROLE" = x ]; then :; elif [ $ROLE = worker ]; then celery -A c worker; fi', "c"),
        ('case "$ROLE" in w*) celery -A d worker;; *) celery -A e worker;; esac', "d"),
        ("celery -A ${APP:-f} worker", "f"),
        ("celery -A ${ROLE:-f} worker", "worker"),
    ],
)
def test_branches_by_a_variable_that_is_known(text: str, expected: str) -> None:
    words = ["sh", "-c", text]
    (found,) = commands_in_words(words, variables={"ROLE": "worker", "APP": ""})
    assert found.options["app"] == expected
    assert len(commands_in_words(words)) >= 1


def test_lines_are_those_of_the_words() -> None:
    text = "#!/bin/sh\n\nmigrate && \\\n  exec \\\n  celery -A shop \\\n  worker\n"
    (found,) = read_text(text, "start").workers
    assert found.place.line == 5
    pod = (
        "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: w\n    command:\n    - sh\n"
        "    - -c\n    - |\n      set -e\n      # the worker\n      exec celery -A shop worker\n"
    )
    (found,) = read_text(pod, "pod.yaml").workers
    assert found.place.line == 12
    dockerfile = "FROM a\nCMD migrate && \\\n    # now\n    celery -A shop worker\n"
    (found,) = read_text(dockerfile, "Dockerfile").workers
    assert found.place.line == 4


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("command: celery -A shop worker", 3),
        ("command: >\n      celery -A shop\n      worker", 4),
        ("command: |\n      celery -A shop worker", 4),
        ("command:\n      celery -A shop worker", 4),
        ("command:\n    - celery\n    - -A\n    - shop\n    - worker", 4),
        ("command:\n    - nice\n    - celery\n    - -A\n    - shop\n    - worker", 5),
        ("command:\n    - sh\n    - -c\n    - |\n      set -e\n      celery -A shop worker", 8),
    ],
)
def test_lines_of_a_compose_file(command: str, line: int) -> None:
    (found,) = read_text(f"services:\n  w:\n    {command}\n", "compose.yml").workers
    assert (found.place.line, found.started_at.line) == (line, line)
