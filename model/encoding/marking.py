"""Marks in files: every one says that an algorithm made it, and, where told, by which recipe.

    recipe (ASCII JSON text, or none) -> XMP packet -> WebP, JPEG, AVIF, GIF, MP4
                                      -> text chunk of a PNG, next to its constant XMP chunk
    file -> read_recipe -> the recipe again

The mark is IPTC's DigitalSourceType, the machine-readable disclosure that Article 50 of the
European AI Act asks for; in a PNG it costs 424 bytes, and with a recipe about a microsecond. What
is in a recipe is the caller's matter, and it is only text until it is read.
XMP: ISO 16684-1, and Adobe's part 3 for its place in each format.
"""

import json
import re
import zlib
from typing import Any, NoReturn
from xml.sax.saxutils import escape, unescape

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
LONGEST_RECIPE = 12_000  # characters; as XMP, escaped at its worst, it fills a JPEG's one segment
MOST_CHUNKS = 64  # chunks of a PNG that are searched for a recipe

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_XMP_KEYWORD = b"XML:com.adobe.xmp"
PNG_RECIPE_KEYWORD = b"ganserve"  # keyword of the tEXt chunk that holds a recipe
MP4_XMP_TYPE = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
OTHER_SIGNATURES = re.compile(rb"RIFF....WEBP|\xff\xd8\xff|GIF8[79]a|....ftyp", re.DOTALL)

# no byte order mark: all of it is ASCII
_PACKET_HEAD = (
    '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about=""'
    ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    f' Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPE}"'
)
_RECIPE_HEAD = ' xmlns:ganserve="urn:x-ganserve:1.0/"><ganserve:recipe>'
_RECIPE_TAIL = "</ganserve:recipe></rdf:Description>"
_PACKET_TAIL = '</rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
_RECIPE_IN_XMP = re.compile(
    # printable ASCII without < and >; an ampersand is five characters when escaped
    rb"<ganserve:recipe>([ -;=?-~]{2,%d}+)</ganserve:recipe>" % (5 * LONGEST_RECIPE)
)
# read as sub-blocks, the packet's characters are lengths: wherever they lead, this leads to the end
_GIF_LANDING = bytes([1, *range(255, -1, -1), 0])


class SigningError(Exception):
    """Files cannot be signed; the message says which setting is wrong, or what else is."""


def packet(recipe: str | None = None) -> bytes:
    """Makes the XMP packet: the mark, and the recipe, if there is one, as a property of our own.

    Raises:
        ValueError: the recipe is not printable ASCII, or is too long.
    """
    if recipe is None:
        return f"{_PACKET_HEAD}/>{_PACKET_TAIL}".encode("ascii")
    text = escape(recipe_text(recipe).decode("ascii"))
    return f"{_PACKET_HEAD}{_RECIPE_HEAD}{text}{_RECIPE_TAIL}{_PACKET_TAIL}".encode("ascii")


def recipe_text(recipe: str) -> bytes:
    """Returns the recipe as it stands in a PNG's text chunk.

    Raises:
        ValueError: it is not printable ASCII, or is too long.
    """
    if len(recipe) > LONGEST_RECIPE or not (recipe.isascii() and recipe.isprintable()):
        raise ValueError(f"a recipe is up to {LONGEST_RECIPE} printable ASCII characters")
    return recipe.encode("ascii")


def mark_gif(content: bytes, recipe: str | None) -> bytes:
    """Adds the packet to a GIF file, as an application extension before its first picture."""
    colours = content[10]  # packed: a global table follows, of two to the power of (low bits + 1)
    start = 13 + (3 << 1 + (colours & 7) if colours & 0x80 else 0)
    extension = b"\x21\xff\x0bXMP DataXMP" + packet(recipe) + _GIF_LANDING
    # an extension makes it the later version of the format, if Pillow wrote the earlier
    return b"GIF89a" + content[6:start] + extension + content[start:]


def mark_mp4(content: bytes, recipe: str | None) -> bytes:
    """Adds the packet to an MP4 file, as a box at its end, where it moves no offset."""
    box = b"uuid" + MP4_XMP_TYPE + packet(recipe)
    return content + (4 + len(box)).to_bytes(4, "big") + box


def read_recipe(content: bytes) -> dict[str, Any] | None:
    """Reads the recipe from a file of ours, of any format; None where there is none to be found.

    Nothing in the file is trusted: it may be damaged, foreign or hostile. The time is linear in
    its length, which is the caller's to bound.
    """
    text: bytes | None = None
    if content.startswith(PNG_SIGNATURE):
        text = _text_in_png(content)
    elif OTHER_SIGNATURES.match(content) and (found := _RECIPE_IN_XMP.search(content)):
        text = unescape(found[1].decode("ascii")).encode("ascii")
    if text is None or len(text) > LONGEST_RECIPE:
        return None
    try:
        recipe = json.loads(text.decode("ascii"), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return recipe if isinstance(recipe, dict) else None


def _text_in_png(content: bytes) -> bytes | None:
    position = len(PNG_SIGNATURE)
    for _ in range(MOST_CHUNKS):
        length = int.from_bytes(content[position : position + 4], "big")
        body = content[position + 4 : position + 8 + length]
        name, position = body[:4], position + 12 + length
        if name == b"tEXt" and body[4:].startswith(PNG_RECIPE_KEYWORD + b"\0"):
            checksum = int.from_bytes(content[position - 4 : position], "big")
            return body[5 + len(PNG_RECIPE_KEYWORD) :] if zlib.crc32(body) == checksum else None
        if name == b"IDAT" or position >= len(content):
            return None
    return None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
