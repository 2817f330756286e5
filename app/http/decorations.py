"""Parameters that others add to links: shops of clicks, mailing lists, scripts against caches.

They say nothing of the picture, so they are left out of the query before anybody looks at it. A
permanent path needs no query at all, and all of its is left out.
"""

import re

from starlette.types import Scope

NAMES = (
    "utm_[a-z_]{1,32}",
    *("fbclid", "gclid", "gbraid", "wbraid", "dclid", "msclkid", "ttclid", "twclid", "yclid"),
    *("igshid", "li_fat_id", "mc_cid", "mc_eid", "_ga", "_gl", "_hsenc", "_hsmi", "_"),
)
DECORATION = re.compile(rf"(?:^|&)(?:{'|'.join(NAMES)})(?:=[^&]*)?(?=&|\Z)".encode())
NAME = re.compile("|".join(NAMES))
PERMANENT = "/i/"


def is_decoration(path: str, name: str) -> bool:
    """Returns whether a parameter of this name says nothing under this path."""
    return path.startswith(PERMANENT) or NAME.fullmatch(name) is not None


def without(scope: Scope) -> Scope:
    """Returns a request without what others have added to its query."""
    query: bytes = scope["query_string"]
    if not query:
        return scope
    kept = b"" if scope["path"].startswith(PERMANENT) else DECORATION.sub(b"", query).lstrip(b"&")
    return scope if kept == query else {**scope, "query_string": kept}
