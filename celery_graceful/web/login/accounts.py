"""Who may log in, and who has."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import BoundedSemaphore, Lock
from typing import Any

from celery_graceful.web.http import PERMISSIONS, VIEW
from celery_graceful.web.login.attempts import Attempts

#: The cookie, and the seconds that a login is good for.
COOKIE = "session"
LASTS = 12 * 3600
#: Passwords that are checked at the same time: each check takes 50 ms of a core on purpose.
_CHECKS = BoundedSemaphore(2)
_MOST_ENDED = 10_000


@dataclass(eq=False)
class Accounts:
    """The users of a screen: they see everything, and with ``actions`` may do everything."""

    #: Hashes of passwords by user.
    hashes: Mapping[str, str]
    actions: bool = False
    #: Signs sessions; with the default they end with the process.
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    attempts: Attempts = field(default_factory=Attempts)
    #: Sessions that were ended by a logout, with the time until which their cookies are good.
    _ended: dict[str, float] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def permissions_of(self, user: str | None) -> frozenset[str]:
        """What a user may do; nothing without a login."""
        if user is None:
            return frozenset()
        return PERMISSIONS if self.actions else frozenset((VIEW,))

    def check(self, user: str, password: str) -> bool:
        """Whether this is the user's password; takes as long for a user that is not there."""
        from werkzeug.security import check_password_hash

        hashed = self.hashes.get(user)
        with _CHECKS:
            right = check_password_hash(hashed or next(iter(self.hashes.values())), password)
        return right and hashed is not None

    def begin(self, user: str) -> str:
        """The cookie of a new session."""
        session = [secrets.token_hex(8), user, self._print(user)]
        text = self._signer().dumps(session)
        return text if isinstance(text, str) else text.decode()

    def user_of(self, cookies: Mapping[str, str]) -> str | None:
        """Who has logged in; ``None``: nobody, or too long ago, or the password is another now."""
        session = self._session(cookies)
        if session is None or session[0] in self._ended:
            return None
        _, user, known = session
        return user if user in self.hashes and known == self._print(user) else None

    def end(self, cookies: Mapping[str, str]) -> None:
        """End a session, also for those who have a copy of its cookie."""
        session = self._session(cookies)
        if session is None:
            return
        now = time.time()
        with self._lock:
            gone = [each for each, until in self._ended.items() if until < now]
            for each in gone:
                del self._ended[each]
            if len(self._ended) < _MOST_ENDED:
                self._ended[session[0]] = now + LASTS

    def _session(self, cookies: Mapping[str, str]) -> tuple[str, str, str] | None:
        from itsdangerous import BadData

        try:
            data: Any = self._signer().loads(cookies.get(COOKIE, ""), max_age=LASTS)
        except BadData:
            return None
        mark, user, known = data
        return str(mark), str(user), str(known)

    def _print(self, user: str) -> str:
        """Changes with the password."""
        return hashlib.sha256(self.hashes[user].encode()).hexdigest()[:16]

    def _signer(self) -> Any:
        from itsdangerous import URLSafeTimedSerializer

        return URLSafeTimedSerializer(self.secret, salt="celery-graceful session")
