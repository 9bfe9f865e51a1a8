"""Real servers for the tests: each starts on a free port and ends with the test run."""

from __future__ import annotations

from tests.servers.mariadb import MariaDB
from tests.servers.postgres import Postgres
from tests.servers.process import MissingProgram, ServerError
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.valkey import Valkey

__all__ = ["MariaDB", "MissingProgram", "Postgres", "RabbitMQ", "ServerError", "Valkey"]
