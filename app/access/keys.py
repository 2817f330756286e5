"""API keys: `Authorization: Bearer KEY`, of which the service knows nothing but a hash.

A key is 32 random bytes, not a password: it cannot be guessed, so SHA-256 is right, and a slow hash
would slow down every request for nothing. Only the standard header is read: logs and caches know to
leave it out.
"""

import hmac
import secrets
from collections.abc import Iterable, Sequence
from hashlib import sha256

from app.responses.problems import Unauthorized

KEY_PREFIX = "gan_"  # tells people and scanners of leaked keys what they have found


class ApiKeys:
    """The keys that open the service, by their hashes in hex."""

    def __init__(self, hashes: Sequence[str]) -> None:
        self._digests = [bytes.fromhex(text) for text in hashes]

    def owner(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
        """Returns the hash of the key in a request's headers; None where there is no key.

        Raises:
            Unauthorized: the key is not known, or there are two.
        """
        given = [value for name, value in headers if name == b"authorization"]
        if len(given) > 1:
            raise Unauthorized("the header Authorization is given more than once", wrong=True)
        scheme, _, key = given[0].strip().partition(b" ") if given else (b"", b"", b"")
        key = key.strip()
        if scheme.lower() != b"bearer" or not key:
            return None
        digest = sha256(key).digest()
        # all are compared, whether or not one before was right
        matching = [known for known in self._digests if hmac.compare_digest(digest, known)]
        if not matching:
            raise Unauthorized("the API key is not known here", wrong=True)
        return digest


def new_key() -> str:
    """Returns a random key, of letters, digits, - and _."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def key_hash(key: str) -> str:
    """Returns what the setting holds of a key: its SHA-256 in hex."""
    return sha256(key.encode()).hexdigest()
