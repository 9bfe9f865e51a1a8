"""What programs do with their words: those in front of a worker, and Celery itself."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TypeVar

from celery_graceful.doctor.commands.shell_syntax import SHELLS
from celery_graceful.doctor.commands.worker_command import FLAGS, OPTIONS, Command, MultiNode

S = TypeVar("S", bound=str)
#: Programs that start none of their arguments, as far as people name celery in them.
_NOTHING = """: . [ [[ adduser alias apk apt apt-get awk cat cd chmod chown cp curl cut
declare dnf echo egrep emerge exit export find git grep groupadd hash head helm help
heroku id info initctl install journalctl kill killall less ln local log log_daemon_msg logger ls
mkdir mv nc pgrep pip pip3 pkill print printf ps rc-service read return rm sed sleep source
supervisorctl sv systemctl service tail tar tee test touch trap tr type unset update-rc.d useradd
usermod wait warn wc wget which yum zypper"""
RUN_NOTHING = frozenset(_NOTHING.split())
#: Programs that start a command where their own signals do not arrive.
RUN_ELSEWHERE = frozenset({"docker", "docker-compose", "kubectl", "oc", "podman", "ssh"})
#: Programs that start a command again when a file changes.
WATCH = frozenset({"watchfiles", "nodemon"})
#: Programs that take the command as one text: for a shell, or split into words.
TAKE_TEXT = SHELLS | WATCH | {"su", "runuser", "script", "flock"}
#: Options with a value of their own, and how many words are between options and command.
_VALUES: Mapping[str, tuple[str, int]] = {
    "catatonit": ("", 0),
    "chpst": ("-u -U -b -e -n -l -L -m", 0),
    "conda": ("-n --name -p --prefix --cwd", 1),
    "command": ("", 0),
    "doas": ("-u -C", 0),
    "docker-init": ("", 0),
    "dumb-init": ("-r --rewrite", 0),
    "exec": ("-a", 0),
    "gosu": ("", 1),
    "ionice": ("-c -n --class --classdata", 0),
    "nice": ("-n --adjustment", 0),
    "nohup": ("", 0),
    "runuser": ("-u --user -g -G -s", 0),
    "s6-setuidgid": ("", 1),
    "setpriv": ("--reuid --regid --groups", 0),
    "setsid": ("", 0),
    "setuser": ("", 1),
    "stdbuf": ("-i -o -e", 0),
    "su-exec": ("", 1),
    "sudo": ("-u -g -h -p -C -D --user --group", 0),
    "taskset": ("", 1),
    "time": ("", 0),
    "timeout": ("-s -k --signal --kill-after", 1),
    "tini": ("-p -e", 0),
}
KNOWN = frozenset(_VALUES)

#: ``${BIN}celery``, ``$VENV/bin/celery``; and as in Celery's own unit: ``${CELERY_BIN}``.
_CELERY = re.compile(r"(?:.*[/}])?celery|(?:.*/)?\$\{?CELERYD?(?:_?(?:BIN|CMD|MULTI|EXEC))?\}?")
_MULTI_BY_VARIABLE = re.compile(r"\$\{?CELERYD_MULTI\}?")
_BY_OPTION = {option: name for name, options in OPTIONS.items() for option in options}
_BY_FLAG = {flag: name for name, flags in FLAGS.items() for flag in flags}
#: Other options of ``celery`` and ``celery worker`` that take a value of their own.
_WITH_VALUE = """-b --broker --result-backend --loader --config --workdir -l --loglevel -f --logfile
-S --statedb -s --schedule --schedule-filename --scheduler -I --include --prefetch-multiplier
--max-tasks-per-child --max-memory-per-child --heartbeat-interval --pidfile --uid --gid
--umask --executable"""
_VALUED = frozenset(_WITH_VALUE.split())
#: Letters of short options without a value, which may be joined: ``-EB``.
_SHORT_FLAGS = {"B": "beat", "D": "detach", "E": "", "q": "", "C": ""}


def base(word: str) -> str:
    """A program's name without its folder."""
    return word.rpartition("/")[2]


def options_and_rest(words: list[S]) -> tuple[list[S], list[S]]:
    """The options of the first program, and the words of the command that it starts.

    An unknown program starts what comes first behind its options.
    """
    program = base(words[0])
    if program not in KNOWN and "--" in words:
        # What is between is the program's own: ``wait-for-it redis:6379 -t 30 -- celery``.
        behind = next(at for at, word in enumerate(words) if word == "--")
        return words[1:behind], words[behind + 1 :]
    values, skipped = _VALUES.get(program, ("", 0))
    options: list[S] = []
    at = 1
    while at < len(words):
        word = words[at]
        if word == "--":
            at += 1
            break
        if word[:1] != "-" or word == "-":
            break
        options.append(word)
        at += 2 if word in values.split() else 1
    return options, words[at + skipped :]


def is_celery(word: str) -> bool:
    """Whether a word is Celery's program."""
    return _CELERY.fullmatch(word) is not None


def celery_command(words: Sequence[str]) -> Command | None:
    """The worker of a line from ``celery`` on; ``None`` if it starts none."""
    options: dict[str, str] = {}
    per_node: dict[tuple[str, str], str] = {}  # by option and node
    flags: set[str] = set()
    verbs: list[str] = ["multi"] if words and _MULTI_BY_VARIABLE.fullmatch(words[0]) else []
    rest = deque(words[1:])
    while rest:
        word = rest.popleft()
        name, equals, value = word.partition("=")
        option, _, node = name.partition(":")
        if option in _BY_OPTION and (equals or name == word):
            given = value if equals else (rest.popleft() if rest else "")
            if node:
                per_node[_BY_OPTION[option], node] = given
            else:
                options[_BY_OPTION[option]] = given
        elif option in _VALUED:
            if not equals and rest:
                rest.popleft()
        elif word in _BY_FLAG:
            flags.add(_BY_FLAG[word])
        elif word[:1] == "-" != word[1:2] and len(word) > 1:
            _short(word, options, flags)
        elif word[:1] != "-" and (word[:1] != "$" or len(verbs) > (verbs[:1] == ["multi"])):
            verbs.append(word)  # a variable in front of the verb may hold options
    multi = verbs[:1] == ["multi"]
    if verbs[:1] != ["worker"] and not (multi and verbs[1:2] and verbs[1] in ("start", "restart")):
        return None
    nodes = _nodes(verbs[2:], per_node) if multi else ()
    return Command("", tuple(words), (), (), {}, options, frozenset(flags), multi, nodes)


def _short(word: str, options: dict[str, str], flags: set[str]) -> None:
    """A short option joined with its value (``-c4``) or with others (``-EB``)."""
    if word[:2] in _BY_OPTION:
        options[_BY_OPTION[word[:2]]] = word[2:].removeprefix("=")
    elif set(word[1:]) <= set(_SHORT_FLAGS):
        flags.update(filter(None, (_SHORT_FLAGS[letter] for letter in word[1:])))


def _nodes(names: list[str], per_node: Mapping[tuple[str, str], str]) -> tuple[MultiNode, ...]:
    """The nodes of ``celery multi``, each with the options that are for it."""
    if len(names) == 1 and names[0].isdecimal() and len(names[0]) < 4:
        names = [f"celery{number}" for number in range(1, int(names[0]) + 1)]
    if any("$" in name or "%" in name for name in names):
        # Which nodes there are is not known: one for each option that names some, and one more.
        names += sorted({node for _, node in per_node})
    return tuple(
        MultiNode(
            name,
            {
                option: value
                for (option, nodes), value in per_node.items()
                if nodes == name or any(_means(each, number, name) for each in nodes.split(","))
            },
        )
        for number, name in enumerate(names, 1)
    )


def _means(given: str, number: int, name: str) -> bool:
    """Whether ``w1``, ``1`` or ``1-3`` means a node."""
    first, _, last = given.partition("-")
    if first.isdecimal() and (last.isdecimal() or not last):
        return int(first[:9]) <= number <= int((last or first)[:9])
    return given in (name, name.partition("@")[0])
