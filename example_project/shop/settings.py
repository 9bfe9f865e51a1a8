"""Where things are, from the environment."""

from __future__ import annotations

import os

__all__ = ["DATABASE", "MAIL_URL", "REDIS_URL", "TUNNEL", "WAREHOUSE_URL"]

#: The broker, the results, and (since nothing else is set) the runs of iterable tasks.
REDIS_URL = os.environ.get("SHOP_REDIS_URL", "redis://localhost:6379/0")

#: A SQLite file; all workers of this example run on one host.
DATABASE = os.environ.get("SHOP_DATABASE", "shop.sqlite3")

#: The mail service takes ``POST`` requests here.
MAIL_URL = os.environ.get("SHOP_MAIL_URL", "http://127.0.0.1:8025/mails")

#: The warehouse's database, as the far end of the tunnel sees it.
WAREHOUSE_URL = os.environ.get("SHOP_WAREHOUSE_URL", "postgresql://shop@localhost:5432/warehouse")

#: What opens the tunnel. On a real network: ssh -N -L {port}:{host}:{remote} bastion
TUNNEL = os.environ.get(
    "SHOP_TUNNEL", "socat TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork TCP:{host}:{remote}"
)
