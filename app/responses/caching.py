"""Who may keep an answer: a client's caches, by header.

A seeded picture is a pure function of its URL and the generator's weights, so its tag needs no
picture.
"""

from starlette.datastructures import Headers

LASTING = "public, max-age=31536000, immutable"  # one year, the longest that caches honour
FLEETING = "no-store"
ENCODING = "3"  # part of every tag: raised when the same pixels are written as other bytes


def matches(if_none_match: str, tag: str) -> bool:
    """Returns whether If-None-Match names the tag. Weak comparison: RFC 9110, section 13.1.2."""
    if if_none_match.strip() == "*":
        return True
    tag = tag.removeprefix("W/")
    return any(part.strip().removeprefix("W/") == tag for part in if_none_match.split(","))


def unchanged(headers: Headers, tag: str) -> bool:
    """Returns whether a request's headers name the tag; several lines are one list."""
    return matches(", ".join(headers.getlist("If-None-Match")), tag)


def headers(tag: str | None) -> dict[str, str]:
    """Returns the headers of an answer that a tag names and everyone may keep, or that none may."""
    return {"Cache-Control": LASTING, "ETag": tag} if tag else {"Cache-Control": FLEETING}
