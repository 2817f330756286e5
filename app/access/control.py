"""Access control: each HTTP request passes here before anything is done for it.

    admit(scope, send) -> the scope and send to go on with, or a Problem

Every path that is not named as open here is closed, also one that a later release adds.
"""

import re
from collections.abc import Callable
from functools import partial

from starlette.types import Message, Scope, Send

from app.access.keys import ApiKeys
from app.access.rate_limit import RateLimit
from app.access.signing import SIGNATURE, Parameters, SignedUrls, taken_apart
from app.monitoring.request_context import address
from app.responses.problems import Forbidden, RateLimited, Unauthorized
from app.settings import Settings

# probes, and what is the same on every host: the API's description, and the page without pictures;
# /admin/ checks keys of its own
OPEN = frozenset(
    ("/livez", "/healthz", "/readyz", "/docs", "/openapi.json", "/", "/favicon.ico", "/robots.txt")
)
OPEN_FOLDERS = ("/problems/", "/page/", "/admin/")
MAX_AGE = re.compile(rb"(?<=max-age=)[0-9]+")


def is_open(path: str) -> bool:
    """Returns whether a path is open to all, on closed hosts too."""
    return path in OPEN or path.startswith(OPEN_FOLDERS)


class AccessControl:
    """Refuses those who may not ask."""

    def __init__(
        self, keys: ApiKeys | None, urls: SignedUrls | None, limit: RateLimit | None
    ) -> None:
        self._keys, self._urls, self._limit = keys, urls, limit
        self.takes_keys, self.takes_signatures = keys is not None, urls is not None

    def admit(self, scope: Scope, send: Send) -> tuple[Scope, Send]:
        """Admits a request; returns its scope without the signature's parameters, and a `send` that
        makes the answer private behind a key, and lets no cache keep it longer than a signed URL.

        Raises:
            Unauthorized: an API key is missing or wrong.
            Forbidden: a signature is missing or wrong, or has expired.
            RateLimited: the client has asked too often.
        """
        path: str = scope["path"]
        if is_open(path) or scope["method"] == "OPTIONS":
            return scope, send  # a browser asks with OPTIONS first, and cannot add a key to that
        owner = self._keys.owner(scope["headers"]) if self._keys else None
        parameters: Parameters = []
        if self._urls:
            parameters, rest = taken_apart(scope["query_string"])
            scope = {**scope, "query_string": rest}
        left = None
        if owner is None and (self._keys or self._urls):
            left = self._seconds_left(scope["method"], path, parameters)
        if self._limit and (seconds := self._limit.wait(owner or address(scope))):
            raise RateLimited(f"too many requests; the next may come in {seconds} s", seconds)
        if owner is not None:
            return scope, _kept_by(send, _private)
        return scope, send if left is None else _kept_by(send, partial(_at_most, left))

    def _seconds_left(self, method: str, path: str, parameters: Parameters) -> float | None:
        """Checks the signature; returns the seconds left of the URL, None if it has no end."""
        signed = any(name == SIGNATURE for name, _ in parameters)
        if self._keys and not signed:
            other = " or a signed URL" if self._urls else ""
            raise Unauthorized(f"an API key (Authorization: Bearer KEY){other} is needed")
        assert self._urls
        if method not in ("GET", "HEAD"):  # no signature covers a body
            raise Forbidden("a signed URL is for GET and HEAD alone")
        return self._urls.check(path, parameters)


def access_control(settings: Settings) -> AccessControl | None:
    """Returns the access control that the settings ask for; None where the host is open to all."""
    hashes = settings.api_key_hashes
    secrets = [secret.get_secret_value() for secret in settings.url_secrets]
    rate = settings.rate_limit
    if not (hashes or secrets or rate):
        return None
    return AccessControl(
        ApiKeys(hashes) if hashes else None,
        SignedUrls(secrets) if secrets else None,
        RateLimit(rate, settings.rate_burst) if rate else None,
    )


def _private(cache_control: bytes) -> bytes:
    """Keeps caches from giving to others what a key has opened."""
    return cache_control.replace(b"public", b"private")


def _at_most(seconds: float, cache_control: bytes) -> bytes:
    """Limits max-age: a cache that answers with what it has kept must not outlive the URL."""
    return MAX_AGE.sub(lambda age: b"%d" % min(int(age[0]), int(seconds)), cache_control)


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
