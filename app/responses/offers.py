"""Every format that an answer may have: one list for each kind of answer, the one preferred first.

Whatever names formats takes them from here: parameters, extensions, Accept and the OpenAPI
document.
"""

from model.encoding.animations import ANIMATIONS
from model.encoding.formats import STILLS, Format

ZIP = Format(
    name="zip",
    extensions=("zip",),
    media_type="application/zip",
    longest_side=2**31,
    encoder_bytes=STILLS["png"].encoder_bytes,
)

# one picture, or one sheet
STILL_OFFERS = {name: still.media_type for name, still in STILLS.items()}
# every picture by itself
BULK_OFFERS = {"zip": ZIP.media_type, "json": "application/json", "multipart": "multipart/mixed"}
# a path: moving, as a strip, or its frames
FRAME_FORMATS = {"zip": ZIP, "npy": STILLS["npy"]}
PATH_FORMATS = {**ANIMATIONS, **FRAME_FORMATS}
PATH_OFFERS = {name: format.media_type for name, format in PATH_FORMATS.items()}
