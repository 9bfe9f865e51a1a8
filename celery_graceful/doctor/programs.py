"""Programs that stand in front of a worker: which of their words are the command they start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from celery_graceful.doctor.shell import SHELLS

S = TypeVar("S", bound=str)
#: Those that start none of their arguments, as far as people name celery in them.
_NOTHING = """: . [ [[ adduser alias apk apt apt-get awk cat cd chmod chown cp curl cut
declare dnf echo egrep emerge exit export find git grep groupadd hash head helm help
heroku id info initctl install journalctl kill killall less ln local log log_daemon_msg logger ls
mkdir mv nc pgrep pip pip3 pkill print printf ps rc-service read return rm sed sleep source
supervisorctl sv systemctl service tail tar tee test touch trap tr type unset update-rc.d useradd
usermod wait warn wc wget which yum zypper"""
RUN_NOTHING = frozenset(_NOTHING.split())
#: Those that start a command where their own signals do not reach.
RUN_ELSEWHERE = frozenset({"docker", "docker-compose", "kubectl", "oc", "podman", "ssh"})
#: Those that take the command as one text: for a shell, or split into words.
#: Those that start it again when a file changes.
WATCH = frozenset({"watchfiles", "nodemon"})
TAKE_TEXT = SHELLS | WATCH | {"su", "runuser", "script", "flock"}

#: Options with a value of their own, and how many words stand between the options and the command.
_VALUES: Mapping[str, tuple[frozenset[str], int]] = {
    "catatonit": (frozenset(), 0),
    "chpst": (frozenset({"-u", "-U", "-b", "-e", "-n", "-l", "-L", "-m"}), 0),
    "conda": (frozenset({"-n", "--name", "-p", "--prefix", "--cwd"}), 1),
    "command": (frozenset(), 0),
    "doas": (frozenset({"-u", "-C"}), 0),
    "docker-init": (frozenset(), 0),
    "dumb-init": (frozenset({"-r", "--rewrite"}), 0),
    "exec": (frozenset({"-a"}), 0),
    "gosu": (frozenset(), 1),
    "ionice": (frozenset({"-c", "-n", "--class", "--classdata"}), 0),
    "nice": (frozenset({"-n", "--adjustment"}), 0),
    "nohup": (frozenset(), 0),
    "runuser": (frozenset({"-u", "--user", "-g", "-G", "-s"}), 0),
    "s6-setuidgid": (frozenset(), 1),
    "setpriv": (frozenset({"--reuid", "--regid", "--groups"}), 0),
    "setsid": (frozenset(), 0),
    "setuser": (frozenset(), 1),
    "stdbuf": (frozenset({"-i", "-o", "-e"}), 0),
    "su-exec": (frozenset(), 1),
    "sudo": (frozenset({"-u", "-g", "-h", "-p", "-C", "-D", "--user", "--group"}), 0),
    "taskset": (frozenset(), 1),
    "time": (frozenset(), 0),
    "timeout": (frozenset({"-s", "-k", "--signal", "--kill-after"}), 1),
    "tini": (frozenset({"-p", "-e"}), 0),
}
KNOWN = frozenset(_VALUES)


def base(word: str) -> str:
    """A program's name without its folder."""
    return word.rpartition("/")[2]


def options_and_rest(words: list[S]) -> tuple[list[S], list[S]]:
    """The options of the first program, and the words of the command that it starts.

    A program that is not known starts what comes first behind its options.
    """
    program = base(words[0])
    if program not in KNOWN and "--" in words:
        # What stands between is the program's own: ``wait-for-it redis:6379 -t 30 -- celery``.
        behind = next(at for at, word in enumerate(words) if word == "--")
        return words[1:behind], words[behind + 1 :]
    values, skipped = _VALUES.get(program, (frozenset[str](), 0))
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
        at += 2 if word in values else 1
    return options, words[at + skipped :]
