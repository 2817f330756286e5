"""Pictures that somebody sends, bounded before they are unpacked.

Content-Type, body -> a picture file, a form with one, a zip of some, or an npy file -> Upload
Upload -> the memory that it takes -> pixels (N, side, side, C)
"""

import io
import math
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.engine.batcher import Pixels
from app.parameters.forms import MULTIPART, uploaded
from app.parameters.limits import BODY_FACTOR
from app.responses.problems import InvalidRequest
from model.image_decoding import UPLOADED, BrokenPictureError, area, decode, square

LARGEST_UPLOAD = 2**24  # pixels of all pictures that somebody sends at once, and bytes of a zip's
DECODED_BYTES = 24  # that a pixel takes, at most, while its file is decoded
FITTED_COPIES = 3  # times that the pixels are held which a network takes
ZIP_START, NPY_START = b"PK", b"\x93NUMPY"
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# files in a zip that are nobody's pictures: of our own zips, of macOS and of Windows
NO_PICTURES = {"manifest.json", ".DS_Store", "Thumbs.db", "desktop.ini"}
MACOS_FOLDER = "__MACOSX/"
NPY_HEADERS: dict[tuple[int, int], Callable[[Any], Any]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}

BINARY = {"schema": {"type": "string", "format": "binary"}}
FORM = {
    "schema": {
        "type": "object",
        "properties": {"file": {"type": "string", "format": "binary"}},
        "required": ["file"],
    }
}
PICTURE_TYPES = {"application/octet-stream": BINARY, MULTIPART: FORM}


@dataclass(frozen=True)
class Upload:
    """Pictures as they came: files, or pixels (N, H, W, C)."""

    pictures: list[bytes] | NDArray[np.uint8]
    alone: bool  # one picture, not a list of one
    largest: int  # pixels of the largest
    where: str = "body"  # in the request

    def memory(self, side: int, channels: int) -> int:
        """Returns the bytes that `fitted` takes beside the body, at most."""
        files = sum(map(len, self.pictures)) if isinstance(self.pictures, list) else 0
        fitted = FITTED_COPIES * len(self.pictures) * side**2 * channels
        return files + DECODED_BYTES * self.largest + fitted

    def fitted(self, side: int, channels: int) -> Pixels:
        """Makes pixels (N, side, side, channels), as `data` does of pictures to learn from: their
        centre squares, resized.

        Raises:
            InvalidRequest: one is damaged.
        """
        if not isinstance(self.pictures, list):
            return fitted(self.pictures, side, channels)
        found = []
        for place, content in enumerate(self.pictures):
            try:
                image, _ = decode(content, LARGEST_UPLOAD, formats=UPLOADED)
            except BrokenPictureError as error:
                raise self.refused(place, error) from None
            found.append(square(image, side, channels, "crop"))
        return np.stack(found)

    def refused(self, place: int, error: Exception) -> InvalidRequest:
        """Says what is wrong with the picture at a place."""
        where = "" if self.alone else f" (file {place + 1} of the zip)"
        return InvalidRequest(f"{self.where}: a picture file is wanted{where}; {error}")


def read_upload(content_type: str, body: bytes, most: int = 1, where: str = "body") -> Upload:
    """Reads what a body holds, by how it begins, up to `most` pictures; of files their headers
    alone. Refusals say `where` it is.

    Raises:
        InvalidRequest: it holds none, more, or larger ones than may be.
    """
    content = uploaded(content_type, body)
    if most > 1 and content.startswith(NPY_START):
        return _npy(content, most)
    zipped = most > 1 and content.startswith(ZIP_START)
    upload = Upload(_unzipped(content, most) if zipped else [content], not zipped, 0, where)
    areas = []
    for place, file in enumerate(upload.pictures):
        try:
            areas.append(area(bytes(file), UPLOADED))
        except BrokenPictureError as error:
            raise upload.refused(place, error) from None
    _check_area(sum(areas), where)
    return replace(upload, largest=max(areas))


def fitted(pixels: Pixels, side: int, channels: int) -> Pixels:
    """Makes pixels (N, side, side, channels) of any (N, H, W, C): their centre squares, resized."""
    if pixels.shape[1:] == (side, side, channels):
        return pixels
    plain = pixels[..., 0] if pixels.shape[3] == 1 else pixels
    return np.stack([square(Image.fromarray(one), side, channels, "crop") for one in plain])


def _check_area(pixels: int, where: str = "body") -> None:
    if pixels > LARGEST_UPLOAD:
        raise InvalidRequest(
            f"{where}: {pixels:,} pixels; allowed: up to {LARGEST_UPLOAD:,} pixels in all"
        )


def _unzipped(content: bytes, most: int) -> list[bytes]:
    """Reads the files of a zip, no larger together than what is reserved for a body."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = [entry for entry in archive.infolist() if _may_be_picture(entry)]
            size = sum(entry.file_size for entry in entries)
            if not 1 <= len(entries) <= most:
                raise InvalidRequest(f"body: a zip of 1 to {most} picture files is wanted")
            if size > min(LARGEST_UPLOAD, BODY_FACTOR * len(content)):
                raise InvalidRequest(
                    f"body: files of {size:,} bytes in a zip of {len(content):,}; allowed: up to "
                    f"{BODY_FACTOR} times as many, and {LARGEST_UPLOAD:,}"
                )
            if any(entry.compress_type not in COMPRESSIONS for entry in entries):
                raise InvalidRequest("body: a zip without compression, or with deflate, is wanted")
            return [_member(archive, entry) for entry in entries]
    except InvalidRequest:
        raise
    except Exception as error:  # a damaged file makes zipfile raise nearly anything
        raise InvalidRequest(
            f"body: a damaged zip, or a locked one ({type(error).__name__})"
        ) from None


def _may_be_picture(entry: zipfile.ZipInfo) -> bool:
    name = entry.filename.rpartition("/")[2]
    return bool(name) and name not in NO_PICTURES and not entry.filename.startswith(MACOS_FOLDER)


def _member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    with archive.open(entry) as file:
        return file.read(entry.file_size)  # and no more, whatever it unpacks to


def _npy(content: bytes, most: int) -> Upload:
    stream = io.BytesIO(content)
    try:
        shape, by_columns, kind = NPY_HEADERS[np.lib.format.read_magic(stream)](stream)
    except Exception:  # it is parsed as Python's literals are
        raise InvalidRequest("body: an npy file without a header that is read here") from None
    start, alone = stream.tell(), len(shape) == 3
    shape = (1, *shape) if alone else shape
    whole = math.prod(shape) == len(content) - start
    if kind != np.uint8 or by_columns or len(shape) != 4 or shape[3] not in (1, 3) or not whole:
        raise InvalidRequest(
            "body: a whole npy file of pixels is wanted, uint8, (H, W, C) or (N, H, W, C), C 1 or 3"
        )
    count, height, width, _ = shape
    if not 1 <= count <= most or not height * width:
        raise InvalidRequest(f"body: an npy file of 1 to {most} pictures is wanted")
    _check_area(count * height * width)
    pixels = np.frombuffer(content, np.uint8, offset=start).reshape(shape)
    return Upload(pixels, alone, height * width)
