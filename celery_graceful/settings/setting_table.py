"""The table: every ``graceful_*`` setting with its type, default and meaning."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from celery_graceful.settings.setting import (
    PREFIX,
    Setting,
    one_of,
    optional,
    parse_mask,
    parse_names,
    parse_options,
    parse_policies,
    parse_switch,
    parse_text,
    parse_url,
    parse_whole,
    seconds,
)

_TIME = 'seconds above 0, or a text such as "5s"'
_TIME_OR_ZERO = 'seconds, 0 or more, or a text such as "5s"'


def _time(name: str, default: float, example: str, meaning: str) -> Setting:
    return Setting(name, seconds(above=0), default, _TIME, example, meaning, "seconds")


def _optional_time(name: str, example: str, meaning: str) -> Setting:
    expected = f"seconds above 0, a text such as {example}, or None"
    return Setting(name, optional(seconds(above=0)), None, expected, example, meaning, "seconds")


def _switch(name: str, default: bool, meaning: str) -> Setting:
    return Setting(name, parse_switch, default, "True or False", str(not default), meaning)


_LINES = (
    Setting(
        "graceful_store",
        optional(parse_url),
        None,
        "a URL (redis, rediss, sentinel, redis+cluster, memory, sqlite, django or another of"
        " SQLAlchemy's), or None",
        '"redis://localhost:6379/1"',
        "Where runs and their checkpoints are kept. `None`: the Redis of the broker, else the Redis"
        " or database server of the result backend, with all that Celery connects with, else a"
        " SQLite file beside the worker, which serves one host only. With several brokers: the"
        " first, so set it there.",
    ),
    Setting(
        "graceful_store_options",
        optional(parse_options),
        None,
        "a mapping of options, or None",
        '{"ssl_ca_certs": "/etc/ssl/redis.pem"}',
        "What the client of the store gets beside its URL: for Redis the options of redis-py and"
        " kombu (`ssl_*`, `username`, `password`, `credential_provider`, `master_name`,"
        " `sentinel_kwargs`, `global_keyprefix`, …), for a database those of SQLAlchemy's"
        " `create_engine`. Where the store is derived from broker or result backend, it has their"
        " options, and these win.",
    ),
    Setting(
        "graceful_namespace",
        optional(parse_text),
        None,
        "a text that is not empty, or None",
        '"shop"',
        "Keeps apps that share a store apart. `None`: the app's main name.",
    ),
    _time(
        "graceful_checkpoint_interval",
        1.0,
        "1.0",
        "How often a run saves its checkpoint: what a crash can repeat at most.",
    ),
    Setting(
        "graceful_max_execution_time",
        optional(seconds()),
        None,
        'seconds, a text such as "30m", 0 (off), or None',
        '"30m"',
        "An execution that has run this long gives its slot back and continues in a new message."
        " `None`: 0.8 of the smallest time limit in force; `0`: never.",
        "seconds",
    ),
    Setting(
        "graceful_max_crashes",
        parse_whole,
        3,
        "a whole number, 0 (off) or more",
        "3",
        "A run fails after so many crashed executions in a row without progress; `0`: never.",
    ),
    Setting(
        "graceful_lease_ttl",
        seconds(least=1),
        30.0,
        'seconds, 1 or more, or a text such as "30s"',
        "30",
        "How long a worker owns its runs without renewing its lease; then another may resume them.",
        "seconds",
    ),
    Setting(
        "graceful_run_retention",
        seconds(least=3600),
        7 * 86400.0,
        'at least 3600 seconds, or a text such as "7d"',
        '"7d"',
        "How long the summary of an ended run is kept; longer than a broker may redeliver.",
        "seconds",
    ),
    Setting(
        "graceful_release_timeout",
        seconds(),
        3.0,
        _TIME_OR_ZERO,
        "3",
        "How long a stopping execution waits until its worker consumes no more, before it publishes"
        " its continuation anyway; and how long it retries to publish it.",
        "seconds",
    ),
    _time(
        "graceful_store_timeout",
        2.0,
        "2",
        "How long one call to the store may take before it counts as failed.",
    ),
    Setting(
        "graceful_store_patience",
        optional(seconds()),
        None,
        'seconds, 0 or more, a text such as "5s", or None',
        "2",
        "How long a run continues while its checkpoint cannot be saved. Then it leaves its slot:"
        " its message, which carries the checkpoint, waits until the store is back. A crash before"
        " that repeats these items as well. `None`: twice the checkpoint interval; never longer"
        " than the lease.",
        "seconds",
    ),
    Setting(
        "graceful_without_store",
        one_of("run", "pause"),
        "run",
        "run or pause",
        '"pause"',
        "What a worker does while it cannot use the store. `run`: plain tasks continue, under the"
        " maintenance mode last known, and iterable tasks wait. `pause`: after a lease it consumes"
        " nothing, except exempt queues, and executions wait in their slots; a worker that starts"
        " waits until it has read the mode.",
    ),
    _time(
        "graceful_rescue_interval",
        1.0,
        "1",
        "How often a worker looks for runs whose worker is gone.",
    ),
    Setting(
        "graceful_resume_queue",
        optional(parse_text),
        None,
        "the name of a queue, or None",
        '"resumed"',
        "A run that continues after a deploy or a crash uses this queue, ahead of the backlog in"
        " its own. Workers have to consume it. `None`: its own queue.",
    ),
    Setting(
        "graceful_resume_priority",
        optional(parse_whole),
        None,
        "a whole number, 0 or more, or None",
        "9",
        "The priority of such a message: the highest is 9 on RabbitMQ and 0 on Redis. `None`: its"
        " own priority.",
    ),
    _switch(
        "graceful_progress",
        True,
        "Whether runs of tasks with a `count` write PROGRESS states to the result backend.",
    ),
    _switch(
        "graceful_renew_visibility",
        True,
        "Whether a worker on a Redis broker renews the visibility of the messages it holds, so that"
        " the broker delivers none of them again while the worker lives.",
    ),
    _optional_time(
        "graceful_grace_period",
        '"30s"',
        "How long after the stop signal the worker is killed, as its deployment says"
        " (`terminationGracePeriodSeconds`, `TimeoutStopSec`, `stopwaitsecs`): what `time_left()`"
        " counts down from, and what `graceful doctor` judges by where files do not say it."
        " `None`: the environment variable `GRACEFUL_GRACE_PERIOD`, else what systemd or"
        " supervisord answer to the worker at its start, and Kubernetes with"
        " `graceful_ask_kubernetes`.",
    ),
    _switch(
        "graceful_ask_kubernetes",
        False,
        "Whether a worker that does not know its grace period asks the API of Kubernetes for that"
        " of its own pod, at its start. The pod's service account needs the right to read it.",
    ),
    _optional_time(
        "graceful_kill_margin",
        '"5s"',
        "How long before the kill a stopping worker ends what still runs and gives it back to the"
        " broker. `None`: a fifth of the grace period, at least 2.5 and at most 10 seconds.",
    ),
    _switch(
        "graceful_doctor_at_start",
        True,
        "Whether a worker checks its own configuration once it is ready, and logs what would lose"
        " or repeat work: a line for each finding of `graceful doctor`.",
    ),
    Setting(
        "graceful_mask",
        parse_mask,
        frozenset(),
        "a list of names, or a function",
        '["iban", "customer"]',
        "Arguments of runs that are not shown, by their names, at any depth; or a function of the"
        " task's name, `args` and `kwargs` that returns what is shown instead of the two. Names"
        " such as `password`, `token` and `api_key` are never shown.",
    ),
    Setting(
        "graceful_leaked_processes",
        one_of("off", "warn", "kill"),
        "off",
        "off, warn or kill",
        '"warn"',
        "What is done about processes that a task of any kind has started and left behind: nothing;"
        " a line in the log for each; that, and they are ended. Needs the extra `processes`.",
    ),
    _time(
        "graceful_maintenance_poll",
        4.0,
        "4",
        "How often a worker reports to the store and reads the maintenance mode: how late it learns"
        " of a change whose broadcast it missed.",
    ),
    Setting(
        "graceful_maintenance_exempt_queues",
        parse_names,
        frozenset(),
        "a list of the names of queues",
        '["alerts"]',
        "Queues that are consumed during maintenance, on every worker.",
    ),
    Setting(
        "graceful_maintenance_beat",
        parse_policies,
        MappingProxyType({}),
        "skip, once, all or run, or a mapping of entries (names or patterns) to these",
        '{"report-*": "once"}',
        "What is done with beat entries that are due during maintenance: not sent; sent once after"
        " `up`; sent as often as they were due; sent at once, to wait in their queue. Entries that"
        " a mapping does not name are skipped; those that come only once are sent once.",
    ),
)

#: Every setting by its name, in the order of the documentation.
SETTINGS: Mapping[str, Setting] = MappingProxyType({line.name: line for line in _LINES})

#: The settings that are also options of a task, by the option's name.
OPTIONS: Mapping[str, Setting] = MappingProxyType(
    {
        name: SETTINGS[PREFIX + name]
        for name in (
            "checkpoint_interval",
            "max_execution_time",
            "max_crashes",
            "resume_queue",
            "resume_priority",
        )
    }
)
