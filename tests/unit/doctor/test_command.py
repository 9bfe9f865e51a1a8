"""Command lines, as people write them, taken apart."""

from __future__ import annotations

import shlex

import pytest

from celery_graceful.doctor.commands.search import parse_words, workers_in_text
from celery_graceful.doctor.commands.worker_command import Command, Queues, same_app


@pytest.mark.parametrize(
    "line",
    [
        "celery -A shop worker",
        "/srv/venv/bin/celery --app=shop.celery:app --workdir /srv worker -l INFO",
        "python -m celery -A shop worker",
        "tini -- celery -A shop worker",
        "env LEVEL=INFO nice -n 5 celery -A shop worker",
        "poetry run celery -A shop worker",
        "/entrypoint.sh celery -A shop worker",
        "worker -A shop",
        "-A shop worker",
        "celery multi start w1 w2 -A shop",
        "sh -c 'cd /srv && exec celery -A shop worker'",
        "bash -lc 'source venv/bin/activate; celery -A shop worker'",
        "sh -c \"sh -c 'celery -A shop worker'\"",
        "su shop -c 'celery -A shop worker'",
    ],
)
def test_it_is_a_worker(line: str) -> None:
    command = parse_words(shlex.split(line))
    assert command.is_worker
    assert command.options["app"].startswith("shop")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "celery -A shop beat",
        "celery -A shop inspect ping",
        "celery -A shop flower",
        "celery multi stop w1",
        "gunicorn shop.wsgi",
        "sh -c 'python manage.py migrate'",
        "sh -c 'no end of \"quotation'",
        "worker",
        "sh -c",
    ],
)
def test_it_is_no_worker_of_celery(line: str) -> None:
    assert not parse_words(shlex.split(line)).is_worker


def test_options_in_every_spelling() -> None:
    line = "celery -Ashop worker -c4 -Pthreads -Q a,b --hostname=w@%h -EB --time-limit 30 -D"
    command = parse_words(line.split())
    assert command.options == {
        "app": "shop",
        "concurrency": "4",
        "pool": "threads",
        "queues": "a,b",
        "hostname": "w@%h",
        "time_limit": "30",
    }
    assert command.flags == {"beat", "detach"}
    assert command.queues == (Queues(frozenset({"a", "b"})),)
    assert command.detaches


def test_what_the_line_sets_in_the_environment() -> None:
    script = "export LEVEL=INFO\nREMAP_SIGTERM=SIGQUIT exec env A=1 celery -A shop worker"
    command = parse_words(["sh", "-c", script])
    assert command.environment == {"LEVEL": "INFO", "REMAP_SIGTERM": "SIGQUIT", "A": "1"}


def stays(command: Command) -> bool:
    return any(shell.stays for shell in command.shells)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("celery -A shop worker", True),
        ("exec celery -A shop worker", False),
        ("exec celery -A shop worker >>/var/log/worker 2>&1", False),
        ("A=1 exec celery -A shop worker", False),
        ("exec celery -A shop worker # the worker", False),
        ("exec celery -A shop worker | tee log", True),
        ("celery -A shop worker & wait", True),
        ("trap 'kill $!; wait' TERM\ncelery -A shop worker &\nwait", False),
        ("celery -A shop worker; echo gone", True),
        ("migrate && \\\nexec celery -A shop \\\n  worker", False),
    ],
)
def test_whether_a_shell_stays_in_front(text: str, expected: bool) -> None:
    assert stays(workers_in_text(text)[0]) is expected


def test_bash_gives_its_place_to_the_last_command_and_sh_does_not() -> None:
    assert not stays(parse_words(["bash", "-c", "migrate && celery -A shop worker"]))
    assert stays(parse_words(["bash", "-c", "celery -A shop worker; echo gone"]))
    assert stays(parse_words(["sh", "-c", "migrate && celery -A shop worker"]))


def test_options_of_what_stands_in_front() -> None:
    command = parse_words(
        ["tini", "-vg", "--", "dumb-init", "-c", "celery", "-A", "shop", "worker"]
    )
    tini, dumb = command.wrapper("tini"), command.wrapper("dumb-init")
    assert tini is not None
    assert tini.has("-g")
    assert dumb is not None
    assert dumb.has("-c", "--single-child")
    assert not dumb.has("-g")


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("shop", "shop", True),
        ("shop", "shop.celery:app", True),
        ("shop.celery:app", "shop.celery", True),
        ("shop", "mail", False),
        ("shop.celery", "mail.celery", False),
        ("shop", "shopping", False),
        ("shop", None, True),
        ("shop", "$(APP)", True),
    ],
)
def test_whether_two_values_of_the_app_option_mean_one_app(
    one: str, other: str | None, expected: bool
) -> None:
    assert same_app(one, other) is expected
