"""Forms: the file in the body of an HTML form or of `curl -F`, whole in memory and bounded as any
body is (RFC 7578).

    Content-Type with a boundary, body -> its one part -> the file's bytes
"""

from email.message import Message

from app.responses.problems import InvalidRequest

MULTIPART = "multipart/form-data"
LONGEST_BOUNDARY = 70  # characters, RFC 2046


def uploaded(content_type: str, body: bytes) -> bytes:
    """Returns the file in a body: the content of the one part of a form, any other body as it is.

    Raises:
        InvalidRequest: it is a form, but one that is not whole or has another number of parts.
    """
    header = Message()
    header["Content-Type"] = content_type
    if header.get_content_type() != MULTIPART:
        return body
    boundary = header.get_param("boundary")
    if not isinstance(boundary, str) or not 0 < len(boundary) <= LONGEST_BOUNDARY:
        raise InvalidRequest("header Content-Type: a form needs a boundary of 1 to 70 characters")
    line = b"\r\n--" + boundary.encode("latin-1", "replace")
    # the line break before the first boundary may be missing; what stands before it is no part
    _, *parts = (b"\r\n" + body).split(line, 3)
    *parts, end = parts or [b""]
    if len(parts) != 1 or not end.startswith(b"--"):
        raise InvalidRequest("body: a form with one field, the picture file, is wanted")
    _, found, content = parts[0].partition(b"\r\n\r\n")
    if not found:
        raise InvalidRequest("body: the form's field has no end of its headers")
    return content
