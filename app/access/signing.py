"""Signed URLs: an <img> tag cannot send a key, so whoever holds a secret signs the URL for it.

    signature = hex(HMAC-SHA256(secret, path + "?" + query))

Path and query are those that the application reads, written in one way: parameters sorted by name,
all but A-Z a-z 0-9 - . _ ~ percent-encoded (and / left alone in the path), without `signature` and
with `expires` (Unix seconds), if the URL has it. What reads the same has the same signature, so
order and ways of encoding do not matter, and nothing else can be changed. Decorations may be added,
for they are left out of what is read; signed with the rest, they count.
"""

import hmac
import re
import time
from collections.abc import Callable, Sequence
from urllib.parse import parse_qsl, quote, unquote, urlsplit, urlunsplit

from app.http.decorations import is_decoration
from app.responses.problems import Forbidden

SIGNATURE, EXPIRES = "signature", "expires"
SECONDS = re.compile(r"[0-9]{1,11}", re.ASCII)
PRINTABLE = re.compile(r"[!-~]+")

Parameters = list[tuple[str, str]]


class SignedUrls:
    """Signs with the first secret and accepts each of them, so that they can be rotated."""

    def __init__(self, secrets: Sequence[str], clock: Callable[[], float] = time.time) -> None:
        self._secrets = [secret.encode() for secret in secrets]
        self._clock = clock

    def check(self, path: str, parameters: Parameters) -> float | None:
        """Checks the signature; returns the seconds left of the URL, None if it has no end.

        Raises:
            Forbidden: the signature is missing or wrong, or the URL has expired.
        """
        signature = _only(parameters, SIGNATURE)
        expires = _only(parameters, EXPIRES)
        if signature is None:
            raise Forbidden("this URL is not signed: the parameter signature is missing")
        texts = {canonical(path, parameters), canonical(path, _undecorated(path, parameters))}
        given = signature.encode()
        # all are compared, whether or not the first was right
        rights = [
            hmac.compare_digest(given, _signature(secret, text).encode())
            for secret in self._secrets
            for text in texts
        ]
        if True not in rights:
            raise Forbidden("the signature is wrong: it is of another URL, or of another secret")
        if expires is None:
            return None
        if not SECONDS.fullmatch(expires):
            raise Forbidden("the parameter expires is wrong: whole Unix seconds are wanted")
        left = int(expires) - self._clock()
        if left <= 0:
            raise Forbidden("this URL has expired")
        return left

    def sign(self, url: str, expires_in: int | None = None) -> str:
        """Returns a URL, or a path and query alone, with a signature.

        Raises:
            ValueError: it is no such URL, or has a signature or an end already.
        """
        parts = urlsplit(url)
        if not PRINTABLE.fullmatch(url):
            raise ValueError("the URL must be percent-encoded")
        if (parts.scheme not in ("http", "https")) if parts.netloc else url[:1] != "/":
            raise ValueError("the URL must begin with http://, https:// or /")
        parameters, _ = taken_apart(parts.query.encode())
        if {SIGNATURE, EXPIRES} & {name for name, _ in parameters}:
            raise ValueError("the URL has a signature, or an end, already")
        more = ""
        if expires_in is not None:
            more = f"&{EXPIRES}={int(self._clock()) + expires_in}"
        path = parts.path or "/"
        parameters, _ = taken_apart((parts.query + more).encode())
        more += f"&{SIGNATURE}={_signature(self._secrets[0], canonical(unquote(path), parameters))}"
        query = (parts.query + more).removeprefix("&")
        return urlunsplit((parts.scheme, parts.netloc, path, query, parts.fragment))


def taken_apart(query: bytes) -> tuple[Parameters, bytes]:
    """Returns the parameters as the application reads them, and the query string without those of
    the signature, each byte of it as it was.
    """
    parameters: Parameters = []
    rest = []
    for part in query.split(b"&"):
        for name, value in parse_qsl(part.decode("latin-1"), keep_blank_values=True):
            parameters.append((name, value))
            if name not in (SIGNATURE, EXPIRES):
                rest.append(part)
    return parameters, b"&".join(rest)


def canonical(path: str, parameters: Parameters) -> str:
    """Returns the text to sign for a path (decoded) and its parameters; equal names keep order."""
    signed = sorted((p for p in parameters if p[0] != SIGNATURE), key=lambda p: p[0])
    query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in signed)
    return f"{quote(path)}?{query}"


def _undecorated(path: str, parameters: Parameters) -> Parameters:
    """Returns the parameters without what others may have added to a link that was signed."""
    return [p for p in parameters if p[0] == EXPIRES or not is_decoration(path, p[0])]


def _signature(secret: bytes, text: str) -> str:
    return hmac.digest(secret, text.encode(), "sha256").hex()


def _only(parameters: Parameters, wanted: str) -> str | None:
    values = [value for name, value in parameters if name == wanted]
    if len(values) > 1:
        raise Forbidden(f"the parameter {wanted} is given more than once")
    return values[0] if values else None
