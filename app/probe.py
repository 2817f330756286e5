"""Whether the service of this machine is ready, asked as a container's health check asks it.

It runs every few seconds as a process of its own: it uses the standard library alone, because
importing the service takes a second, and reads no settings but where to ask.
"""

import contextlib
import http.client
import os
from collections.abc import Mapping

TIMEOUT_SECONDS = 2.0
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # addresses to bind, and to ask


def ready(environment: Mapping[str, str] | None = None) -> bool:
    """Returns whether /readyz answers 200, where the environment says that the service listens."""
    environment = os.environ if environment is None else environment
    told = {name.upper(): value for name, value in environment.items()}
    host = told.get("GAN_HOST") or told.get("HOST") or "127.0.0.1"
    port = told.get("GAN_PORT") or told.get("PORT") or "8000"
    with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
        connection = http.client.HTTPConnection(
            EVERYWHERE.get(host, host), int(port), timeout=TIMEOUT_SECONDS
        )
        with contextlib.closing(connection):
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
    return False
