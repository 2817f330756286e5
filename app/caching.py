"""Who may keep an answer, and for how long: a seeded picture never changes, a random one is
nobody's.
"""

LASTING = "public, max-age=31536000, immutable"  # one year, the longest that caches honour
FLEETING = "no-store"


def cache_headers(lasting: bool) -> dict[str, str]:
    """The Cache-Control header of a picture."""
    return {"Cache-Control": LASTING if lasting else FLEETING}
