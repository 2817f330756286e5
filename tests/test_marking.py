"""Marks: what a file says of itself, and what can be read back from it, whatever was done to it."""

import io
import json
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from model.encoding.animations import ANIMATIONS, HAS_VIDEO, encode_animation
from model.encoding.formats import STILLS, encode_still
from model.encoding.marking import (
    LONGEST_RECIPE,
    SOURCE_TYPE,
    mark_gif,
    mark_mp4,
    packet,
    read_recipe,
)
from model.encoding.png import encode_png

RECIPE = '{"model":"mnist@fc1d398b3ee3","seed":42}'
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
OURS = "{urn:x-ganserve:1.0/}"
Writer = Callable[..., bytes]  # writes a file with a recipe, RECIPE if none is told
PICTURE = (np.arange(12 * 10 * 3) % 251).astype(np.uint8).reshape(12, 10, 3)

calm = settings(deadline=None, database=None, derandomize=True)
recipes = st.dictionaries(
    st.text(max_size=8), st.text(max_size=20) | st.integers() | st.none(), max_size=5
).map(lambda recipe: json.dumps(recipe, separators=(",", ":")))  # ASCII, what is not is escaped


def png(recipe: str | None = RECIPE) -> bytes:
    return encode_png(PICTURE, recipe)


def gif(recipe: str | None = RECIPE) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PICTURE).save(stream, "GIF")
    return mark_gif(stream.getvalue(), recipe)


def mp4(recipe: str | None = RECIPE) -> bytes:
    return mark_mp4(struct.pack(">I4s4sI", 16, b"ftyp", b"isom", 512), recipe)


def still(name: str) -> Writer:
    return lambda recipe=RECIPE: encode_still(PICTURE, name, recipe=recipe)


def animation(name: str) -> Writer:
    frames = np.stack([PICTURE, PICTURE[::-1]])
    return lambda recipe=RECIPE: encode_animation(frames, name, fps=10, recipe=recipe)


STILL_FILES = [pytest.param(still(name), id=f"{name}-still") for name in STILLS if name != "npy"]
ANIMATED_FILES = [
    pytest.param(
        animation(name),
        id=f"{name}-animation",
        marks=pytest.mark.skipif(name == "mp4" and not HAS_VIDEO, reason="av is not installed"),
    )
    for name in ANIMATIONS
]
FILES = STILL_FILES + ANIMATED_FILES


@pytest.mark.parametrize("recipe", [RECIPE, None, r'{"a":"<&>\"' "'" '"}'])
def test_packet_is_xml_with_the_mark_and_the_recipe(recipe: str | None) -> None:
    root = ElementTree.fromstring(packet(recipe))
    assert root.tag == "{adobe:ns:meta/}xmpmeta"
    description = root.find(f"{RDF}RDF/{RDF}Description")
    assert description is not None
    assert description.get(f"{IPTC}DigitalSourceType") == SOURCE_TYPE
    assert description.findtext(f"{OURS}recipe") == recipe


@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param('{"name":"Zoë"}', id="not-ascii"),
        pytest.param('{"a":\n1}', id="new-line"),
        pytest.param('{"a":"\0"}', id="nul"),
        pytest.param('{"a":"' + "x" * LONGEST_RECIPE + '"}', id="too-long"),
    ],
)
def test_recipe_that_is_no_short_printable_ascii_is_refused(recipe: str) -> None:
    for write in (packet, png, gif, mp4):
        with pytest.raises(ValueError, match="printable ASCII"):
            write(recipe)


@pytest.mark.parametrize("file", FILES)
@calm
@given(recipe=recipes)
def test_any_recipe_can_be_read_back(file: Writer, recipe: str) -> None:
    assert read_recipe(file(recipe)) == json.loads(recipe)


@pytest.mark.parametrize("file", FILES)
def test_longest_recipe_fits_even_if_all_of_it_is_escaped(file: Writer) -> None:
    recipe = '{"a":"' + "&" * (LONGEST_RECIPE - 8) + '"}'
    assert len(recipe) == LONGEST_RECIPE
    assert read_recipe(file(recipe)) == json.loads(recipe)
    assert len(packet(recipe)) <= 65_504  # what one segment of a JPEG holds


@pytest.mark.parametrize("file", FILES)
def test_file_without_recipe_has_the_mark_alone(file: Writer) -> None:
    assert SOURCE_TYPE.encode() in file(None)
    assert read_recipe(file(None)) is None


def test_pillow_finds_mark_and_recipe_of_a_png() -> None:
    with Image.open(io.BytesIO(png())) as image:
        assert image.info["xmp"] == packet()
        assert image.info["ganserve"] == RECIPE


@pytest.mark.parametrize("file", [*STILL_FILES, *ANIMATED_FILES[:2]])
def test_pillow_finds_the_mark(file: Writer) -> None:
    with Image.open(io.BytesIO(file())) as image:
        assert SOURCE_TYPE.encode() in image.info["xmp"]


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
@pytest.mark.parametrize("file", FILES)
def test_exiftool_finds_the_mark_and_no_fault(file: Writer) -> None:
    tags = ["-Warning", "-Error", "-XMP-iptcExt:DigitalSourceType", "-Recipe", "-Ganserve"]
    done = subprocess.run(
        ["exiftool", "-json", *tags, "-"], input=file(), capture_output=True, check=True
    )
    found = json.loads(done.stdout)[0]
    assert found.pop("SourceFile") == "-"
    assert found.pop("DigitalSourceType") == SOURCE_TYPE
    assert list(found.values()) == [RECIPE]


def test_marked_gif_shows_the_same_picture() -> None:
    stream = io.BytesIO()
    Image.fromarray(PICTURE).save(stream, "GIF")
    with Image.open(stream) as plain, Image.open(io.BytesIO(gif())) as marked:
        assert np.array_equal(np.asarray(plain.convert("RGB")), np.asarray(marked.convert("RGB")))
        assert marked.info["extension"][0] == b"XMP DataXMP"


def test_blocks_of_a_marked_gif_lead_to_its_end() -> None:
    """Who does not know the extension skips it by its lengths, which are the packet's letters."""
    file = gif()
    position = file.index(b"XMP DataXMP") + 11
    while file[position]:
        position += 1 + file[position]
    assert file[position + 1 : position + 2] in (b"\x2c", b"\x21")  # a picture, or another block


def test_mark_is_a_box_of_its_own_in_an_mp4() -> None:
    file = mp4()
    size = int.from_bytes(file[16:20], "big")
    assert file[20:24] == b"uuid"
    assert len(file) == 16 + size
    assert file[24:40].hex() == "be7acfcb97a942e89c71999491e3afac"
    assert file[40:] == packet(RECIPE)


def text_chunk(text: bytes, name: bytes = b"tEXt", keyword: bytes = b"ganserve") -> bytes:
    body = name + keyword + b"\0" + text
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def png_with(*chunks: bytes) -> bytes:
    plain = png(None)
    return plain[:33] + b"".join(chunks) + plain[33:]  # behind IHDR


FOREIGN = [
    pytest.param(b"", id="empty"),
    pytest.param(b"\x89PNG\r\n\x1a\n", id="signature-alone"),
    pytest.param(packet(RECIPE), id="packet-alone"),
    pytest.param(png_with(text_chunk(b"[1]")), id="list"),
    pytest.param(png_with(text_chunk(b'"text"')), id="string"),
    pytest.param(png_with(text_chunk(b"")), id="no-text"),
    pytest.param(png_with(text_chunk(b'{"seed":NaN}')), id="nan"),
    pytest.param(png_with(text_chunk(b'{"seed":' + b"1" * 5000 + b"}")), id="endless-number"),
    pytest.param(png_with(text_chunk(b'{"a":' * 2000)), id="deep"),
    pytest.param(png_with(text_chunk(b"[" * 12_000)), id="deeper"),
    pytest.param(png_with(text_chunk('{"a":"Zoë"}'.encode("latin-1"))), id="latin-1"),
    pytest.param(png_with(text_chunk(b'{"a":"' + b"x" * 12_000 + b'"}')), id="too-long"),
    pytest.param(png_with(text_chunk(b"{}", keyword=b"other")), id="another-keyword"),
    pytest.param(png_with(text_chunk(b"{}", name=b"zTXt")), id="another-chunk"),
    pytest.param(png_with(text_chunk(b"{}")[:-1] + b"\x77"), id="checksum"),
    pytest.param(png_with(*[text_chunk(b"", b"teSt")] * 64, text_chunk(b"{}")), id="late"),
    pytest.param(png(None) + text_chunk(b"{}"), id="behind-the-picture"),
    pytest.param(png_with(b"\xff\xff\xff\xfftEXtganserve\0{}"), id="endless-chunk"),
    pytest.param(b"GIF89a" + b"<ganserve:recipe>" * 9000, id="never-closed"),
    pytest.param(b"GIF89a<ganserve:recipe>{&quot;}</ganserve:recipe>", id="not-json"),
    pytest.param(b"GIF89a<ganserve:recipe>\xff{}</ganserve:recipe>", id="not-text"),
]


@pytest.mark.parametrize("content", FOREIGN)
def test_foreign_and_broken_files_have_no_recipe(content: bytes) -> None:
    assert read_recipe(content) is None


@pytest.mark.parametrize("file", FILES)
def test_file_cut_anywhere_gives_its_recipe_or_none(file: Writer) -> None:
    whole = file()
    answers = [read_recipe(whole[:length]) for length in range(len(whole))]
    assert all(answer in (None, json.loads(RECIPE)) for answer in answers)


@calm
@given(st.binary(max_size=300))
def test_any_bytes_can_be_read(content: bytes) -> None:
    assert read_recipe(content) is None
    for start in (b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff", b"RIFF1234WEBP"):
        assert read_recipe(start + content) is None


@pytest.mark.parametrize("file", FILES)
@calm
@given(data=st.data())
def test_damage_never_raises(file: Writer, data: st.DataObject) -> None:
    content = bytearray(file())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    answer = read_recipe(bytes(content))
    assert answer is None or isinstance(answer, dict)
