"""A credential provider, as clouds have them."""

from __future__ import annotations

import redis

USER, PASSWORD = "shop", "from-the-provider"


class Credentials(redis.CredentialProvider):
    """Knows the user of the tests' server."""

    def get_credentials(self) -> tuple[str, str]:
        return USER, PASSWORD
