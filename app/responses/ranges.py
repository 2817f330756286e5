"""Parts of answers that are whole in memory: what video programs and broken downloads ask for.

Source: RFC 9110, section 14. Several ranges at once are answered with the whole, as it allows.
"""

import re

from fastapi import Request, Response

from app.http.cors import HEAD
from app.responses.problems import RangeNotSatisfiable

RANGE = re.compile(r"bytes=([0-9]{0,15})-([0-9]{0,15})", re.IGNORECASE)


def ranged(request: Request, response: Response) -> Response:
    """Returns the part of a whole answer that Range asks for; the answer itself where none is, or
    where its bytes are not sure to be the same the next time.

    Raises:
        RangeNotSatisfiable: the part begins beyond the end.
    """
    tag = response.headers.get("ETag", "")
    if response.status_code != 200 or not tag or tag.startswith("W/"):
        return response
    response.headers["Accept-Ranges"] = "bytes"
    match = RANGE.fullmatch(", ".join(request.headers.getlist("Range")).strip())
    if match is None or not (match[1] or match[2]) or HEAD in request.scope:
        return response
    if request.headers.get("If-Range", tag) != tag:
        return response
    size = len(response.body)
    first = int(match[1]) if match[1] else max(0, size - int(match[2]))
    last = min(int(match[2] or size), size - 1) if match[1] else size - 1
    if first > last and first < size and match[1]:  # not a range: RFC 9110, section 14.1.1
        return response
    if first >= size:
        raise RangeNotSatisfiable(f"the answer has {size} bytes", size)
    response.body = bytes(response.body)[first : last + 1]
    response.status_code = 206
    response.headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    response.headers["Content-Length"] = str(last - first + 1)
    return response
