"""What reading a file gave."""

from __future__ import annotations

from dataclasses import dataclass

from celery_graceful.doctor.facts import Deployed, Place
from celery_graceful.doctor.shell import INSTALL


class Trouble(Exception):
    """A file, or a part of it, cannot be read; says where, why, and what to do."""

    def __init__(self, place: Place, what: str, fix: str) -> None:
        super().__init__(what)
        self.place, self.what, self.fix = place, what, fix


class MissingPackage(Trouble):
    """A package that reading this needs is not installed: no fault of the file."""

    def __init__(self, place: Place, package: str, what: str) -> None:
        super().__init__(place, f"{what} was not examined: {package} is not installed", INSTALL)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The workers of a file, and what of it could not be read."""

    file: str
    workers: tuple[Deployed, ...] = ()
    #: Containers that run supervisord, whose workers are in a file of its own.
    supervisors: tuple[Deployed, ...] = ()
    troubles: tuple[Trouble, ...] = ()
