"""The door: each HTTP request passes here before anything is done for it.

    admit(scope, send) -> the scope and send to go on with, or a Problem

Closed is whatever is not named as open here, also what a later release adds.
"""

from collections.abc import Callable

from starlette.types import Message, Scope, Send

from app.access.keys import ApiKeys
from app.problems import Unauthorized
from app.settings import Settings

# probes, and what is the same on every host: the API's description, and the page without pictures
OPEN = frozenset(
    ("/livez", "/healthz", "/readyz", "/docs", "/redoc", "/openapi.json", "/", "/page.css")
)
OPEN_FOLDERS = ("/problems/", "/page/")


class AccessControl:
    """Refuses those who may not ask."""

    def __init__(self, keys: ApiKeys) -> None:
        self._keys = keys

    def admit(self, scope: Scope, send: Send) -> tuple[Scope, Send]:
        """What to go on with.

        Raises:
            Unauthorized: an API key is missing or wrong.
        """
        path: str = scope["path"]
        if path in OPEN or path.startswith(OPEN_FOLDERS) or scope["method"] == "OPTIONS":
            return scope, send  # a browser asks with OPTIONS first, and cannot add a key to that
        owner = self._keys.owner(scope["headers"])
        if owner is None:
            raise Unauthorized("an API key is needed: Authorization: Bearer KEY")
        return scope, _kept_by(send, _private)


def access_control(settings: Settings) -> AccessControl | None:
    """The door that the settings ask for; None where the host is open to all."""
    if not settings.api_key_hashes:
        return None
    return AccessControl(ApiKeys(settings.api_key_hashes))


def _private(cache_control: bytes) -> bytes:
    """What a key has opened, no cache may give to others."""
    return cache_control.replace(b"public", b"private")


def _kept_by(send: Send, narrow: Callable[[bytes], bytes]) -> Send:
    """Sends on, with another Cache-Control."""

    async def narrowed(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [
                (name, narrow(value) if name == b"cache-control" else value)
                for name, value in message["headers"]
            ]
        await send(message)

    return narrowed
