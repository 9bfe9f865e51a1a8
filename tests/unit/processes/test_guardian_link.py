"""Sockets to guardians in a fork of their owner: each is closed, whatever becomes of the others."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest

from celery_graceful.processes import guardian_link
from celery_graceful.processes.guardian_link import GuardianLink


class Broken:
    """A socket that cannot be closed."""

    def close(self) -> None:
        raise OSError("a broken socket")


def test_a_socket_that_cannot_be_closed_keeps_no_other_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the fork: as long as one is open there, its guardian sees a living owner."""
    pairs = [socket.socketpair() for _ in range(2)]
    broken: Any = Broken()
    links = [GuardianLink(pairs[0][0], 0), GuardianLink(broken, 0), GuardianLink(pairs[1][0], 0)]
    monkeypatch.setattr(guardian_link, "_links", links)
    child = os.fork()
    if child == 0:
        left = [ours.fileno() for ours, _ in pairs if ours.fileno() != -1]
        os._exit(len(left))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    for ours, theirs in pairs:
        assert ours.fileno() != -1, "the owner's own stay open"
        ours.close()
        theirs.close()
