"""Moving pictures: frames in, one file out, marked as made by an algorithm.

    (N, H, W, C) uint8, frames a second, forever or once -> WebP | APNG | GIF | MP4 | strip

How many frames, and of what size, is the caller's to bound. The same frames and choices give the
same bytes, with the same versions of the libraries on the same kind of processor. What suits whom:

    WebP   every pixel kept, or smaller with a quality; every browser
    APNG   every pixel kept; the largest
    GIF    grey is kept, colours become 256 for the whole loop; the oldest programs
    MP4    small, colour at half the resolution; video programs. It says nothing of looping
    strip  a PNG of all frames side by side, for programs that animate it themselves
"""

import io
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.encoding import marking, png
from model.encoding.formats import Format, check_size, to_image, webp_quality
from model.images import tile

try:
    import av
except ImportError:
    HAS_VIDEO = False
else:
    HAS_VIDEO = True

LARGEST_FPS = 60
BT709 = 1  # how red, green and blue become brightness and colour: the code of ITU-T H.273
LIMITED_RANGE = 1  # brightness from 16 to 235, as video has it

ANIMATIONS = {
    format.name: format
    for format in (
        Format(
            name="webp",
            extensions=("webp",),
            media_type="image/webp",
            longest_side=16_383,
            encoder_bytes=18,
            has_quality=True,
        ),
        Format(
            name="apng",
            extensions=("apng",),
            media_type=png.APNG_MEDIA_TYPE,
            longest_side=2**31 - 1,
            encoder_bytes=7,
        ),
        Format(
            name="gif",
            extensions=("gif",),
            media_type="image/gif",
            longest_side=65_535,
            encoder_bytes=18,
        ),
        Format(
            name="mp4",
            extensions=("mp4",),
            media_type="video/mp4",
            longest_side=4096,  # what networks can be expected to take
            encoder_bytes=18,
        ),
        Format(
            name="strip",
            extensions=("png",),
            media_type=png.MEDIA_TYPE,
            longest_side=2**31 - 1,
            encoder_bytes=10,
        ),
    )
}


def films() -> list[str]:
    """Lists the formats that this installation encodes."""
    return [name for name in ANIMATIONS if name != "mp4" or HAS_VIDEO]


class VideoNotInstalled(RuntimeError):
    """MP4 is asked for, but the extra that writes it is not installed."""

    def __init__(self) -> None:
        super().__init__("MP4 needs the extra 'video', which is not installed here")


def encode_animation(
    frames: NDArray[np.uint8],
    format: str = "webp",
    *,
    fps: int,
    loop: bool = True,
    quality: int | None = None,
    recipe: str | None = None,
) -> bytes:
    """Encodes frames (N, H, W, C), grey or RGB, each shown for 1 / `fps` seconds; `fps` is 1-60.

    Without `loop` it plays once. Only WebP has a quality, 1-100; without one it keeps every pixel.

    Raises:
        PictureTooLarge: the format cannot hold a frame of that size.
        VideoNotInstalled: MP4, without the extra that writes it.
        ValueError: the recipe is not printable ASCII, or is too long.
    """
    assert len(frames)
    assert 1 <= fps <= LARGEST_FPS, fps
    assert quality is None or ANIMATIONS[format].has_quality, format
    check_size(ANIMATIONS[format], frames.shape[1], frames.shape[2])
    match format:
        case "webp":
            return _webp(frames, fps, loop, quality, recipe)
        case "apng":
            return png.encode_apng(frames, fps=fps, loop=loop, recipe=recipe)
        case "gif":
            return marking.mark_gif(_gif(frames, fps, loop), recipe)
        case "mp4":
            return marking.mark_mp4(_mp4(frames, fps), recipe)
        case _:
            return png.encode_png(tile(frames, len(frames)), recipe)


def _webp(
    frames: NDArray[np.uint8], fps: int, loop: bool, quality: int | None, recipe: str | None
) -> bytes:
    return _save(
        [to_image(frame) for frame in frames],
        "webp",
        duration=durations(len(frames), fps, 1000),
        loop=0 if loop else 1,
        method=0,
        xmp=marking.packet(recipe),
        **webp_quality(quality),
    )


def _gif(frames: NDArray[np.uint8], fps: int, loop: bool) -> bytes:
    """Encodes a GIF. Its time is in hundredths of a second: frames are longer and shorter in turn,
    and the whole is right. More than 50 fps become 50: programs show a frame of one hundredth for
    ten.
    """
    hundredths = durations(len(frames), min(fps, 50), 100)
    options = {"loop": 0} if loop else {}
    milliseconds = [10 * duration for duration in hundredths]
    return _save(_of_256_colours(frames), "gif", duration=milliseconds, **options)


def _of_256_colours(frames: NDArray[np.uint8]) -> list[Image.Image]:
    """Reduces RGB frames to one palette, so that nothing flickers; grey ones stay as they are. Not
    dithered: equal pixels stay equal. An octree comes within 1.5 dB of Pillow's other ways to
    choose colours, at a fiftieth of the time.
    """
    images = [to_image(frame) for frame in frames]
    if frames.shape[3] == 1:
        return images
    colours = to_image(tile(frames, 1)).quantize(256, Image.Quantize.FASTOCTREE)
    return [image.quantize(palette=colours, dither=Image.Dither.NONE) for image in images]


def _save(images: list[Image.Image], format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    images[0].save(stream, format, save_all=True, append_images=images[1:], **options)
    return stream.getvalue()


def durations(count: int, fps: int, units: int) -> list[int]:
    """Returns how long each frame lasts in whole units, of which a second has `units`; any first k
    of them together are within half a unit of k / fps seconds.
    """
    ends = ((2 * index * units + fps) // (2 * fps) for index in range(count + 1))
    return [end - start for start, end in pairwise(ends)]


def _mp4(frames: NDArray[np.uint8], fps: int) -> bytes:
    """Encodes H.264 in yuv420p, which halves each side for colour: a last row or column is shown
    twice where a side is odd. The index stands in front, so that it plays while it loads.
    """
    if not HAS_VIDEO:
        raise VideoNotInstalled
    frames = np.pad(
        frames, ((0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)), mode="edge"
    )
    stream = io.BytesIO()
    # bytes; its tables take 32 a frame at most, and it cannot be moved once it is written
    index_room = 1024 + 32 * len(frames)
    container = {"moov_size": str(index_room), "fflags": "+bitexact"}
    with av.open(stream, "w", "mp4", options=container) as file:
        # without `cpu-independent` other processors write other bytes, and one with AVX-512 does
        # by what was in memory before
        options = {"preset": "veryfast", "crf": "18", "x264-params": "cpu-independent=1"}
        video = file.add_stream("libx264", rate=Fraction(fps), options=options)
        video.height, video.width = frames.shape[1:3]
        video.pix_fmt = "yuv420p"
        video.thread_count = 1  # more would be other bytes
        video.color_primaries = video.color_trc = video.colorspace = BT709
        video.color_range = LIMITED_RANGE
        for pixels in frames:
            image = np.array(to_image(pixels).convert("RGB"))
            picture = av.VideoFrame.from_ndarray(image, "rgb24").reformat(
                format="yuv420p", dst_colorspace=BT709, dst_color_range=LIMITED_RANGE
            )
            file.mux(video.encode(picture))
        file.mux(video.encode(None))
    return stream.getvalue()
