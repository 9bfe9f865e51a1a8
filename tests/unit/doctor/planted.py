"""Faults, planted in sound files and configurations one at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from celery_graceful.doctor.facts import AppFacts, Kind, QueueFacts, TaskFacts
from celery_graceful.doctor.facts.running_workers import Seen
from tests.unit.doctor.sound import (
    APP,
    COMPOSE,
    DOCKERFILE,
    KUBERNETES,
    PROCFILE,
    SUPERVISORD,
    UNIT,
)

FILES = {
    "worker.yaml": KUBERNETES,
    "shop.service": UNIT,
    "supervisord.conf": SUPERVISORD,
    "docker-compose.yml": COMPOSE,
    "Dockerfile": DOCKERFILE,
    "Procfile": PROCFILE,
}


class Planted(NamedTuple):
    """A fault: the file or app with it, and without."""

    finds: str
    file: str
    bad: str
    good: str
    bad_app: AppFacts = APP
    good_app: AppFacts = APP
    seen: Seen = Seen()

    @property
    def name(self) -> str:
        """For the test's name."""
        return f"{self.finds}-{self.file or 'app'}"


def in_file(
    finds: str,
    file: str,
    sound: str,
    faulty: str,
    *,
    app: dict[str, Any] | None = None,
    seen: Seen = Seen(),  # noqa: B008 -- frozen
) -> Planted:
    """The sound file with a part replaced; ``app`` holds for both."""
    good = FILES[file]
    assert sound in good, sound
    both = replace(APP, **(app or {}))
    return Planted(finds, file, good.replace(sound, faulty), good, both, both, seen)


def in_app(
    finds: str,
    bad: dict[str, Any],
    good: dict[str, Any],
    *,
    file: str = "",
    seen: Seen = Seen(),  # noqa: B008 -- frozen
) -> Planted:
    """A sound file, or none, with an app that differs."""
    text = FILES.get(file, "")
    return Planted(finds, file, text, text, replace(APP, **bad), replace(APP, **good), seen)


def plain(**options: Any) -> tuple[TaskFacts, ...]:
    """The sound app's iterable task, and a plain one of these options."""
    given = {"acks_late": True, "reject_on_worker_lost": True, "time_limit": 20, **options}
    return (APP.tasks[0], TaskFacts("shop.mail", Kind.PLAIN, "celery", **given))


def _gracefully(**options: Any) -> tuple[TaskFacts, ...]:
    """The same with ``base=GracefulTask``."""
    return tuple(
        replace(each, kind=Kind.GRACEFUL) if each.kind is Kind.PLAIN else each
        for each in plain(**options)
    )


def iterable(**options: Any) -> tuple[TaskFacts, ...]:
    """An iterable task of these options."""
    return (TaskFacts("shop.import", Kind.ITERABLE, "celery", True, True, **options),)


K, U, S, C, D, P = FILES
_K_START = '["celery", "-A", "shop", "worker", "-n", "worker@%h"]'
_K_HOOK = 'command: ["sh", "-c", "sleep 5"]'
_K_GRACE = "terminationGracePeriodSeconds: 60"
_K_IMAGE = '          image: shop\n          command: ["celery"'
_U_START = "ExecStart=/srv/shop/bin/celery -A shop worker"
_D_START = 'CMD ["celery", "-A", "shop", "worker"]'
_SLOW = plain(time_limit=None)
_GRACEFUL = _gracefully(acks_late=False, time_limit=None)
_QUARTER, _HOUR = plain(time_limit=900), plain(time_limit=3600)[1:]
_REMAPPED = "env:\n            - {name: REMAP_SIGTERM, value: SIGQUIT}"
_SQLITE = {
    "store": "sqlite",
    "store_url": "sqlite:////data/runs.sqlite3",
    "store_path": "/data/runs.sqlite3",
}

TIMING = (
    in_file("GD101", K, _K_GRACE, "terminationGracePeriodSeconds: 0"),
    in_file("GD101", U, "TimeoutStopSec=1min", "TimeoutStopSec=1s"),
    in_file("GD101", S, "stopwaitsecs=60", "stopwaitsecs=2"),
    in_file("GD102", K, "sleep 5", "sleep 60"),
    in_file("GD102", K, _K_HOOK, 'command: ["sleep", "1m"]'),
    in_file("GD103", K, "env:", _REMAPPED, app={"soft_shutdown_timeout": 55.0})._replace(
        good_app=APP
    ),
    in_file("GD105", K, _K_GRACE, "terminationGracePeriodSeconds: 25"),
    in_file("GD105", K, f"      {_K_GRACE}\n", "", app={"tasks": plain(time_limit=40)}),
    in_file("GD105", C, "${GRACE:-1m}", "${GRACE:-20s}"),
    in_file("GD104", K, _K_GRACE, "terminationGracePeriodSeconds: 30", app={"tasks": _SLOW},
            seen=Seen(longest={"shop.mail": 41.0})),
    in_file("GD104", S, "stopwaitsecs=60", "stopwaitsecs=30",
            app={"tasks": plain(acks_late=False, time_limit=None)},
            seen=Seen(longest={"shop.mail": 41.0})),
    in_file("GD104", K, _K_GRACE, "terminationGracePeriodSeconds: 30", app={"tasks": _GRACEFUL},
            seen=Seen(longest={"shop.mail": 41.0})),
    in_file("GD105", K, _K_GRACE, "terminationGracePeriodSeconds: 25",
            app={"tasks": _gracefully(time_limit=20)}),
    in_file("GD106", K, _K_GRACE, "terminationGracePeriodSeconds: 45",
            seen=Seen(items={"shop.import": 44.0})),
    in_file("GD107", C, "    stop_grace_period: ${GRACE:-1m}\n", "", app={"tasks": iterable()}),
    in_file("GD107", S, "stopwaitsecs=60 ; a minute\n", "", app={"tasks": iterable()}),
    in_file("GD108", K, "  template:\n    spec:\n      terminationGracePeriodSeconds: 60",
            "  terminationGracePeriodSeconds: 60\n  template:\n    spec:"),
    in_file("GD108", K, "          lifecycle:",
            "          terminationGracePeriodSeconds: 60\n          lifecycle:"),
    in_file("GD110", K, "value: 55s", "value: 60s"),
    in_file("GD110", C, "=${GRACE:-1m}", "=${GRACE:-90s}"),
    in_app("GD110", {"grace_period": 90.0}, {"grace_period": 60.0}, file=U),
    in_file("GD111", K, "GRACEFUL_GRACE_PERIOD", "PERIOD"),
    in_file("GD111", C, "    - GRACEFUL_GRACE_PERIOD=${GRACE:-1m}\n", ""),
    in_file("GD108", U, "Workers of the shop", "Workers of the shop\nTimeoutStopSec=10min"),
)  # fmt: skip

SIGNALS = (
    in_file("GD201", U, "KillMode=mixed\n", ""),
    in_file("GD201", U, "KillMode=mixed", "KillMode=control-group"),
    in_file("GD202", S, "stopasgroup=false", "stopasgroup=true"),
    in_file("GD203", K, '["celery"', '["dumb-init", "--", "celery"'),
    in_file("GD203", D, '["tini", "--"]', '["/usr/bin/dumb-init", "-v", "--"]'),
    in_file("GD204", D, '["tini", "--"]', '["tini", "-g", "--"]'),
    in_file("GD204", C, "- LEVEL=", "- TINI_KILL_PROCESS_GROUP=1\n    - LEVEL="),
    in_file("GD205", P, "REMAP_SIGTERM=SIGQUIT celery", "celery",
            app={"tasks": iterable()}),
    in_file("GD207", D, "STOPSIGNAL SIGTERM", "STOPSIGNAL SIGKILL"),
    in_file("GD207", C, "    init: true", "    stop_signal: SIGUSR1\n    init: true"),
    in_file("GD207", U, "KillMode=mixed", "KillMode=mixed\nKillSignal=SIGHUP"),
    in_file("GD207", S, "stopwaitsecs=60", "stopsignal=HUP\nstopwaitsecs=60"),
    in_file("GD207", K, "preStop:", "stopSignal: SIGUSR2\n            preStop:"),
    in_file("GD208", U, "KillMode", "ExecStop=/bin/kill -s HUP $MAINPID\nKillMode"),
    in_file("GD209", K, "sleep 5", "celery -A shop control shutdown; sleep 5"),
    in_file("GD210", K, "sleep 5", "pkill -TERM celery"),
    in_file("GD211", U, "KillMode=mixed", "KillMode=none"),
    in_file("GD212", K, "env:", "env:\n            - {name: REMAP_SIGTERM, value: QUIT}"),
)  # fmt: skip

STARTS = (
    in_file("GD301", K, _K_START, '["sh", "-c", "celery -A shop worker"]'),
    in_file("GD301", K, _K_START, '["/bin/bash", "-lc", "exec celery -A shop worker | tee log"]'),
    in_file("GD301", K, _K_START,
            '["sh", "-c"]\n          args:\n            - |\n              set -e\n'
            "              ./wait-for-it\n              celery -A shop worker &\n"
            "              wait\n"),
    in_file("GD301", D, _D_START, "CMD celery -A shop worker"),
    in_file("GD301", C, "command: celery -A shop worker",
            "command: sh -c 'python manage.py migrate && celery -A shop worker'"),
    in_file("GD302", K, '"worker",', '"worker", "--detach",'),
    in_file("GD302", S, "celery -A shop worker -n worker%(process_num)d@%%h",
            "celery multi start worker%(process_num)d -A shop"),
    in_file("GD302", U, "--loglevel=INFO", "-D"),
    in_file("GD303", U, "Type=exec", "Type=forking"),
    in_file("GD304", D, '["tini", "--"]', '["conda", "run", "-n", "shop"]'),
    in_file("GD304", K, _K_START, '["su", "shop", "-c", "exec celery -A shop worker"]'),
    in_file("GD305", K, '"worker",', '"worker", "--purge",'),
    in_file("GD306", K, '"worker",', '"worker", "-EB",'),
    in_file("GD307", S, "%(process_num)d@%%h", "@%%h"),
    in_file("GD307", K, "worker@%h", "worker@shop"),
    in_file("GD309", U, "--loglevel=INFO", "-n worker@%h"),
    in_file("GD309", S, "@%%h", "@%h"),
    in_file("GD308", U, "Restart=always\n", ""),
    in_file("GD308", S, "stopwaitsecs", "autorestart=false\nstopwaitsecs"),
    in_file("GD308", C, "restart: unless-stopped", "restart: 'no'"),
)  # fmt: skip

PODS = (
    in_file("GD401", K, "          lifecycle:",
            "          livenessProbe:\n            exec:\n"
            '              command: ["celery", "-A", "shop", "inspect", "ping"]\n'
            "          lifecycle:"),
    in_file("GD401", K, "          lifecycle:",
            "          livenessProbe:\n            timeoutSeconds: 30\n            exec:\n"
            '              command: ["sh", "-c", "celery inspect ping -d celery@$HOSTNAME"]\n'
            "          lifecycle:"),
    in_file("GD402", K, _K_IMAGE,
            "          image: bitnami/pgbouncer:1\n        - name: worker\n"
            '          image: shop\n          command: ["celery"'),
)  # fmt: skip

ACKS = (
    in_app("GD206", {"tasks": plain(reject_on_worker_lost=False)}, {}, file=S)._replace(
        bad=SUPERVISORD.replace("stopasgroup=false", "stopasgroup=true")
    ),
    in_app("GD501", {"tasks": plain(acks_late=False), "soft_shutdown_timeout": 5.0},
           {"soft_shutdown_timeout": 5.0}, file=P),
    in_app("GD501", {"tasks": _GRACEFUL, "soft_shutdown_timeout": 5.0},
           {"soft_shutdown_timeout": 5.0}, file=P),
    in_app("GD502", {}, {"soft_shutdown_timeout": 5.0}, file=P),
    in_app("GD503", {"soft_shutdown_timeout": 5.0}, {}, file=K),
)  # fmt: skip

BROKER = (
    in_app("GD601", {"renew_visibility": False, "visibility_timeout": 600, "tasks": _QUARTER},
           {"visibility_timeout": 600, "tasks": _QUARTER}),
    in_app("GD601", {"renew_visibility": False, "tasks": _SLOW}, {"renew_visibility": True},
           seen=Seen(longest={"shop.mail": 4000.0})),
    in_app("GD601", {"broker": "sqs", "visibility_timeout": 1800, "tasks": _HOUR},
           {"broker": "sqs", "visibility_timeout": 7200, "tasks": _HOUR}),
    in_app("GD602", {"broker": "sqs", "tasks": iterable()},
           {"broker": "sqs", "tasks": iterable(max_execution_time=1200)}),
    in_app("GD603", {"broker": "amqp", "tasks": plain(time_limit=7200)[1:]},
           {"broker": "amqp", "tasks": plain(time_limit=1200)[1:]}),
    in_app("GD604", {"broker": "amqp", "tasks": iterable()},
           {"broker": "amqp", "tasks": iterable(max_execution_time=1200)}),
    in_app("GD605", {"broker": "amqp", "queues": (QueueFacts("q", quorum=True),), "tasks": ()},
           {"broker": "amqp", "queues": (QueueFacts("q", quorum=True, dead_letters=True),),
            "tasks": ()}),
    in_app("GD605", {"broker": "amqp", "tasks": (),
                     "queues": (QueueFacts("q", quorum=True, delivery_limit=2),)},
           {"broker": "amqp", "tasks": (),
            "queues": (QueueFacts("q", quorum=True, delivery_limit=200),)}),
)  # fmt: skip

THE_REST = (
    in_app("GD701", {"result_expires": 3600}, {"result_expires": 86400},
           seen=Seen(runs={"shop.import": 7200.0})),
    in_app("GD701", {"result_expires": 3600, "tasks": _gracefully(time_limit=7200)},
           {"result_expires": 86400, "tasks": _gracefully(time_limit=7200)}),
    in_app("GD702", {"tasks": plain(soft_time_limit=20)}, {"tasks": plain(soft_time_limit=15)}),
    in_app("GD703",
           {"tasks": iterable(
               time_limit=600, max_execution_time=900, max_execution_time_is_given=True)},
           {"tasks": iterable(
               time_limit=600, max_execution_time=300, max_execution_time_is_given=True)}),
    in_app("GD704", {"faults": ("shop.import (shop.py:7): it takes no cursor",)}, {}),
    in_app("GD705", {"unsafe_yields": ("shop.import (shop.py:9): a yield inside the block",)}, {}),
    in_app("GD801", {"store": "memory", "store_url": "memory://"}, {}, file=S),
    in_file("GD802", C, "    init: true", "    init: true\n    volumes: ['./logs:/logs']",
            app=_SQLITE)._replace(
        good=COMPOSE.replace("    init: true", "    init: true\n    volumes: ['./data:/data']")
    ),
    in_app("GD801", _SQLITE, {}, file=K)._replace(
        bad=KUBERNETES.replace("          lifecycle:",
                               "          volumeMounts: [{name: d, mountPath: /data}]\n"
                               "          lifecycle:")
    ),
    in_app("GD010", {"plugged": False}, {}),
    in_app("GD803", {"resume_queue": "resumed"}, {"resume_queue": "celery"}, file=U),
    in_app("GD804", {"exempt_queues": frozenset({"alrts"})},
           {"exempt_queues": frozenset({"celery"})}, file=U),
    in_app("GD805", {}, {"tasks": plain()[1:]}, seen=Seen(eviction="allkeys-lru")),
    in_app("GD806", {}, {"tasks": plain()[1:]}, seen=Seen(persistent=False)),
    in_app("GD807", {"store_trouble": "graceful_store: … cannot be used: …"}, {}),
    in_app("GD809", {"store_files_missing": ("/etc/ca.pem",)}, {}),
    in_app("GD808", {"store_caveat": "Runs are kept in the first of several brokers"}, {}),
)  # fmt: skip

PLANTED = (*TIMING, *SIGNALS, *STARTS, *PODS, *ACKS, *BROKER, *THE_REST)
