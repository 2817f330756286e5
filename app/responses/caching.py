"""Who may keep an answer: the client's caches by header, and this process a bounded few pictures.

A seeded picture is a pure function of its URL and the generator's weights, so its tag needs no
picture.
"""

from collections import OrderedDict

from starlette.datastructures import Headers

LASTING = "public, max-age=31536000, immutable"  # one year, the longest that caches honour
FLEETING = "no-store"
ENCODING = "2"  # part of every tag: raised when the same pixels are written as other bytes
ENTRY_OVERHEAD = 200  # bytes that a kept picture costs besides its own


def matches(if_none_match: str, tag: str) -> bool:
    """Returns whether If-None-Match names the tag. Weak comparison: RFC 9110, section 13.1.2."""
    if if_none_match.strip() == "*":
        return True
    tag = tag.removeprefix("W/")
    return any(part.strip().removeprefix("W/") == tag for part in if_none_match.split(","))


def unchanged(headers: Headers, tag: str) -> bool:
    """Returns whether a request's headers name the tag; several lines are one list."""
    return matches(", ".join(headers.getlist("If-None-Match")), tag)


PictureKey = int | tuple[int, str]  # a seed, or a seed and the class that was asked for


class PictureCache:
    """The last pictures asked for, up to so many bytes. Lives on the event loop."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._files: OrderedDict[PictureKey, bytes] = OrderedDict()
        self.hits = 0

    def get(self, key: PictureKey) -> bytes | None:
        """Returns the file of a picture, if it is still here."""
        file = self._files.get(key)
        if file is not None:
            self._files.move_to_end(key)
            self.hits += 1
        return file

    def put(self, key: PictureKey, file: bytes) -> None:
        """Keeps a file, and drops the least recently used where there is no room."""
        size = len(file) + ENTRY_OVERHEAD
        if key in self._files or size > self._max_bytes:
            return
        self._files[key] = file
        self._bytes += size
        while self._bytes > self._max_bytes:
            _, dropped = self._files.popitem(last=False)
            self._bytes -= len(dropped) + ENTRY_OVERHEAD


def headers(tag: str | None) -> dict[str, str]:
    """Returns the headers of an answer that a tag names and everyone may keep, or that none may."""
    return {"Cache-Control": LASTING, "ETag": tag} if tag else {"Cache-Control": FLEETING}
