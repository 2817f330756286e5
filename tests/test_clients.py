"""What real clients make of the running service's answers: Pillow, OpenCV, FFmpeg, exiftool,
Chromium and curl.
"""

import io
import json
import shutil
import socket
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from model.encoding.animations import HAS_VIDEO
from model.encoding.marking import SOURCE_TYPE
from model.generators import ZOO
from tests.browsing import chromium_program
from tests.services import TIMEOUT, fetch, service

FRAMES, FPS = 12, 25
WAY = f"seeds=1,2&frames={FRAMES}&fps={FPS}"
STILL = {name: f"/generate.{name}?seed=7" for name in ("png", "webp", "avif", "jpeg", "npy")}
MOVING = {name: f"/interpolate.{name}?{WAY}" for name in ("webp", "apng", "gif", "mp4")}
STRIP = f"/interpolate.png?{WAY}"
MISMATCH = 4  # levels that a lossy picture is off on average


def needs(tool: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not installed")


video = pytest.mark.skipif(not HAS_VIDEO, reason="av is not installed")
MOVING_NAMES = [pytest.param(name, marks=video if name == "mp4" else ()) for name in MOVING]
FILES = [
    *(pytest.param(path, id=f"{name}-still") for name, path in STILL.items() if name != "npy"),
    *(
        pytest.param(path, id=f"{name}-animation", marks=video if name == "mp4" else ())
        for name, path in MOVING.items()
    ),
    pytest.param(STRIP, id="strip"),
    pytest.param("/generate.png?seed=0&n=9&scale=2", id="sheet"),
    pytest.param("/plane.png?seeds=1,2,3,4", id="plane"),
]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with service(ZOO / "mnist") as (_, address):
        yield address


@pytest.fixture(scope="module")
def pixels(address: str) -> np.ndarray:
    """Fetches the picture of seed 7, (H, W), as the array that the service gives."""
    return array(fetch(address + STILL["npy"]))[..., 0].astype(int)


@pytest.fixture(scope="module")
def frames(address: str) -> np.ndarray:
    """Fetches the frames of the way, (N, H, W), as the array that the service gives."""
    return array(fetch(f"{address}/interpolate.npy?{WAY}"))[..., 0].astype(int)


def array(content: bytes) -> np.ndarray:
    return np.load(io.BytesIO(content), allow_pickle=False)


# --- Pillow and OpenCV ---


@pytest.mark.parametrize("name", ["png", "webp", "avif", "jpeg"])
def test_pillow_reads_every_still(address: str, pixels: np.ndarray, name: str) -> None:
    with Image.open(io.BytesIO(fetch(address + STILL[name]))) as image:
        assert image.format == name.upper()
        found = np.asarray(image.convert("L")).astype(int)
    assert found.shape == pixels.shape
    assert np.abs(found - pixels).mean() <= (0 if name in ("png", "webp") else MISMATCH)


@pytest.mark.parametrize("name", ["webp", "apng", "gif"])
def test_pillow_reads_every_frame(address: str, frames: np.ndarray, name: str) -> None:
    with Image.open(io.BytesIO(fetch(address + MOVING[name]))) as image:
        assert getattr(image, "n_frames", 1) == FRAMES
        for index in range(FRAMES):
            image.seek(index)
            assert np.array_equal(np.asarray(image.convert("L")), frames[index])
            assert image.info["duration"] == 1000 / FPS


def test_pillow_reads_the_strip(address: str, frames: np.ndarray) -> None:
    with Image.open(io.BytesIO(fetch(address + STRIP))) as image:
        assert np.array_equal(np.asarray(image), np.concatenate(list(frames), axis=1))


@pytest.mark.parametrize("name", ["png", "webp", "jpeg", "avif"])
def test_opencv_reads_what_pillow_reads(address: str, name: str) -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    content = fetch(address + STILL[name])
    try:
        found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
    except cv2.error:
        found = None
    if found is None and name == "avif":
        pytest.skip("this OpenCV reads no AVIF")
    with Image.open(io.BytesIO(content)) as image:
        expected = np.asarray(image.convert("L")).astype(int)
    assert np.abs(found - expected).max() <= (0 if name in ("png", "webp") else 2)


# --- FFmpeg and exiftool ---


@needs("ffprobe")
@pytest.mark.parametrize(
    ("name", "codec"),
    [pytest.param("mp4", "h264", marks=video), ("apng", "apng"), ("gif", "gif")],
)  # no WebP: FFmpeg reads no moving ones
def test_ffprobe_finds_frames_rate_and_size(
    address: str, frames: np.ndarray, name: str, codec: str
) -> None:
    """By URL: FFmpeg speaks HTTP itself, and asks for ranges that it does not get."""
    command = ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json"]
    done = subprocess.run(
        [*command, address + MOVING[name]], capture_output=True, check=True, timeout=TIMEOUT
    )
    assert done.stderr == b""
    (stream,) = json.loads(done.stdout)["streams"]
    assert stream["codec_name"] == codec
    assert int(stream["nb_read_frames"]) == FRAMES
    assert stream["avg_frame_rate"] == f"{FPS}/1"
    assert (stream["height"], stream["width"]) == frames.shape[1:]


@needs("ffmpeg")
@pytest.mark.parametrize("name", [pytest.param("mp4", marks=video), "apng", "gif"])
def test_ffmpeg_plays_the_very_frames(address: str, frames: np.ndarray, name: str) -> None:
    command = ["ffmpeg", "-v", "error", "-i", address + MOVING[name]]
    raw = ["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = subprocess.run([*command, *raw], capture_output=True, check=True, timeout=TIMEOUT)
    found = np.frombuffer(done.stdout, np.uint8).reshape(*frames.shape, 3).astype(int)
    assert np.abs(found - frames[..., None]).mean() <= (MISMATCH if name == "mp4" else 0)


@needs("exiftool")
@pytest.mark.parametrize("path", FILES)
def test_exiftool_finds_that_an_algorithm_made_it(address: str, path: str) -> None:
    assert source_type(fetch(address + path)) == SOURCE_TYPE


@needs("exiftool")
def test_exiftool_finds_that_an_algorithm_made_each_frame_of_a_zip(address: str) -> None:
    content = fetch(f"{address}/interpolate.zip?seeds=1,2&frames=3")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [name for name in archive.namelist() if name.endswith(".png")]
        assert {source_type(archive.read(name)) for name in names} == {SOURCE_TYPE}


def source_type(content: bytes) -> str:
    tags = ["-Warning", "-Error", "-XMP-iptcExt:DigitalSourceType"]
    done = subprocess.run(
        ["exiftool", "-json", *tags, "-"], input=content, capture_output=True, check=True
    )
    (found,) = json.loads(done.stdout)
    assert not found.keys() & {"Warning", "Error"}
    value: str = found["DigitalSourceType"]
    return value


# --- programs that unpack, from a file and as it comes ---


@needs("unzip")
def test_unzip_finds_no_fault(address: str, tmp_path: Path) -> None:
    (tmp_path / "way.zip").write_bytes(fetch(f"{address}/interpolate.zip?{WAY}"))
    subprocess.run(["unzip", "-tq", tmp_path / "way.zip"], check=True, capture_output=True)


@needs("busybox")
def test_busybox_unpacks_from_a_pipe(address: str, tmp_path: Path) -> None:
    """It wants the length of a file in front of it, as Java's ZipInputStream does."""
    content = fetch(f"{address}/interpolate.zip?{WAY}")
    command = ["busybox", "unzip", "-q", "-d", str(tmp_path), "-"]
    subprocess.run(command, input=content, check=True, capture_output=True)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            assert (tmp_path / name).read_bytes() == archive.read(name)


# --- Chromium ---

SHOWN = {f"{name}-still": path for name, path in STILL.items() if name != "npy"} | {
    f"{name}-animation": path for name, path in MOVING.items() if name != "mp4"
}
PAGE = """<!doctype html><title>A page of another origin</title><script type="module">
const {address, shown, film} = SETUP
const found = {sizes: {}}
const settled = promise => promise.then(value => value, error => error.name)
for (const [name, path] of Object.entries(shown)) {
  const image = new Image()
  image.src = address + path
  await settled(image.decode())
  found.sizes[name] = [image.naturalWidth, image.naturalHeight]
}
const picture = await fetch(address + "/generate?seed=7")
found.headers = Object.fromEntries(picture.headers)
found.bytes = (await picture.arrayBuffer()).byteLength
const refused = await fetch(address + "/generate?seed=-1")
found.problem = [refused.status, (await refused.json()).type]
const known = {headers: {"If-None-Match": picture.headers.get("ETag")}, cache: "no-store"}
found.unchanged = await settled(fetch(address + "/generate?seed=7", known).then(a => a.status))
const post = type => ({method: "POST", body: '{"seed": 7}', headers: {"Content-Type": type}})
const posted = type => settled(fetch(address + "/generate", post(type)).then(a => a.status))
found.json = await posted("application/json")
found.text = await posted("text/plain")
const blob = new Blob(['{"seed": 7}'])  // without a type: nobody is asked whether it may be sent
const untyped = {method: "POST", body: blob}
found.untyped = await settled(fetch(address + "/generate", untyped).then(a => a.status))
const canvas = document.createElement("canvas").getContext("2d")
const image = Object.assign(new Image(), {crossOrigin: "anonymous"})
image.src = address + shown["png-still"]
await image.decode()
canvas.drawImage(image, 0, 0)
found.corner = await settled(Promise.resolve().then(() => canvas.getImageData(9, 14, 1, 1).data[0]))
if (film) {
  const player = document.createElement("video")
  found.film = await new Promise(resolve => {
    player.onloadeddata = () => resolve([player.videoWidth, player.videoHeight, player.duration])
    player.onerror = () => resolve(player.error.message)
    player.muted = true
    player.src = address + film
  })
}
await fetch("/found", {method: "POST", body: JSON.stringify(found)})
</script>"""


@pytest.fixture(scope="module")
def chromium(address: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Returns what a page of another origin finds."""
    program = chromium_program()
    film = MOVING["mp4"] if HAS_VIDEO else None
    setup = json.dumps({"address": address, "shown": SHOWN, "film": film})
    found: dict[str, Any] = {}
    done = threading.Event()

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(PAGE.replace("SETUP", setup).encode())

        def do_POST(self) -> None:
            found.update(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()
            done.set()

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Site) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        profile = tmp_path_factory.mktemp("profile")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
        options += ["--disable-background-networking", "--disable-component-update"]
        command = [program, *options, f"--user-data-dir={profile}", "--remote-debugging-port=0"]
        browser = subprocess.Popen(
            [*command, f"http://127.0.0.1:{site.server_port}/"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert done.wait(TIMEOUT), "the page has said nothing"
        finally:
            browser.terminate()
            browser.wait(TIMEOUT)
            site.shutdown()
    return found


@pytest.mark.parametrize("name", SHOWN)
def test_chromium_shows_every_format(
    chromium: dict[str, Any], pixels: np.ndarray, name: str
) -> None:
    assert chromium["sizes"][name] == [pixels.shape[1], pixels.shape[0]]


@video
def test_chromium_plays_the_film(chromium: dict[str, Any], frames: np.ndarray) -> None:
    width, height, seconds = chromium["film"]
    assert (height, width) == frames.shape[1:]
    assert seconds == pytest.approx(FRAMES / FPS, abs=0.01)


def test_page_of_another_origin_reads_picture_and_headers(
    chromium: dict[str, Any], address: str, pixels: np.ndarray
) -> None:
    assert chromium["bytes"] == len(fetch(address + STILL["png"]))
    assert chromium["corner"] == pixels[14, 9]
    headers = chromium["headers"]
    assert headers["image-seed"] == "7"
    assert headers.keys() >= {"image-model", "etag", "content-disposition", "server-timing"}
    assert chromium["problem"] == [422, "/problems/invalid-request"]
    assert chromium["unchanged"] == 304


def test_page_of_another_origin_cannot_post(chromium: dict[str, Any]) -> None:
    assert chromium["json"] == "TypeError"  # refused by the browser, which has asked
    assert chromium["text"] == 415  # nobody is asked about a text: the service takes none
    assert chromium["untyped"] == 415


# --- curl, and the wire ---


def curl(*arguments: str) -> bytes:
    done = subprocess.run(
        ["curl", "-sS", *arguments], capture_output=True, timeout=TIMEOUT, check=True
    )
    return done.stdout


def head_of(content: bytes) -> tuple[str, dict[str, str]]:
    """Status line and headers, less what differs from one answer to the next."""
    first, *lines = content.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert len(headers) == len(lines)  # each once
    for name in ("date", "server-timing", "x-request-id"):
        headers.pop(name, None)
    return first, headers


@needs("curl")
@pytest.mark.parametrize(
    "path",
    [
        *STILL.values(),
        "/generate?seed=7",
        STRIP,
        *(pytest.param(MOVING[name], marks=video if name == "mp4" else ()) for name in MOVING),
        "/plane.webp?seeds=1,2,3,4",
        "/generate?seed=-1",
        "/nothing",
        "/models",
        "/readyz",
        "/",
    ],
)
def test_head_is_the_head_of_a_get(address: str, path: str) -> None:
    head = curl("-I", address + path)
    assert head.endswith(b"\r\n\r\n")
    assert head_of(head) == head_of(curl("-i", address + path))


@needs("curl")
def test_head_of_a_streamed_answer_is_that_of_a_get_but_for_its_framing(address: str) -> None:
    url = f"{address}/interpolate.zip?{WAY}"
    _, headers = head_of(curl("-i", "--raw", url))
    assert headers.pop("transfer-encoding") == "chunked"
    assert head_of(curl("-I", url))[1] == headers


@needs("curl")
@pytest.mark.parametrize("path", [STILL["png"], MOVING["webp"], "/models"])
@pytest.mark.parametrize("option", ["--compressed", "--http1.0", "--http2"])
def test_curl_gets_the_whole_picture_whatever_it_asks(address: str, path: str, option: str) -> None:
    plain, asked = curl("-i", address + path), curl("-i", *option.split("="), address + path)
    first, headers = head_of(asked)
    headers.pop("connection", None)
    assert (first, headers) == head_of(plain)
    assert first == "HTTP/1.1 200 OK"
    assert asked.partition(b"\r\n\r\n")[2] == plain.partition(b"\r\n\r\n")[2]


@needs("curl")
@pytest.mark.parametrize("path", [STILL["png"], MOVING["webp"]])
def test_curl_goes_on_with_a_broken_download(address: str, path: str, tmp_path: Path) -> None:
    whole, file = curl(address + path), tmp_path / "picture"
    file.write_bytes(whole[:100])
    curl("-C", "-", "-o", str(file), address + path)
    assert file.read_bytes() == whole


@needs("curl")
def test_curl_without_any_accept_gets_a_png_and_an_animation(address: str) -> None:
    for path, media_type in (
        ("/generate?seed=7", "image/png"),
        (f"/interpolate?{WAY}", "image/webp"),
    ):
        for option in ("Accept;", "Accept:"):  # an empty one, and none
            assert (
                head_of(curl("-i", "-H", option, address + path))[1]["content-type"] == media_type
            )


def talk(address: str, request: bytes) -> bytes:
    """Returns all that comes back until the service closes the connection."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=TIMEOUT) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_pipelined_requests_are_answered_in_order(address: str) -> None:
    paths = [
        "/generate?seed=1",
        f"/interpolate.zip?{WAY}",
        "/nothing",
        "/generate?seed=2&n=9",
        "/generate?seed=1",
    ]
    asked = [f"GET {path} HTTP/1.1\r\nHost: test\r\n" for path in paths]
    found = talk(
        address, "\r\n".join([*asked[:-1], asked[-1] + "Connection: close\r\n\r\n"]).encode()
    )
    answers = [b"HTTP/1.1 " + part for part in found.split(b"HTTP/1.1 ")[1:]]
    heads = [head_of(answer) for answer in answers]
    assert [first.split()[1] for first, _ in heads] == ["200", "200", "404", "200", "200"]
    assert [headers.get("image-seed") for _, headers in heads] == ["1", "1", None, "2", "1"]
    picture = fetch(f"{address}/generate?seed=1")
    assert answers[0].endswith(picture)
    assert answers[-1].endswith(picture)


@pytest.mark.parametrize("host", [b"", b"Host: test\r\n"])
def test_http_1_0_gets_a_picture_and_the_end_of_the_connection(address: str, host: bytes) -> None:
    found = talk(address, b"GET /generate?seed=7 HTTP/1.0\r\n" + host + b"\r\n")
    assert found.partition(b"\r\n\r\n")[2] == fetch(f"{address}/generate?seed=7")


def test_http_1_0_gets_a_streamed_answer_unchunked(address: str) -> None:
    """Chunks are of HTTP/1.1; who speaks 1.0 reads until the connection ends."""
    path = f"/interpolate.zip?{WAY}"
    head, _, body = talk(address, f"GET {path} HTTP/1.0\r\n\r\n".encode()).partition(b"\r\n\r\n")
    _, headers = head_of(head)
    assert "transfer-encoding" not in headers
    assert headers["connection"] == "close"
    assert body == fetch(address + path)


@needs("curl")
def test_curl_saves_the_picture_under_its_name(address: str, tmp_path: Path) -> None:
    url = f"{address}/generate?seed=7&download=true"
    curl("-OJ", "--output-dir", str(tmp_path), url)
    assert (tmp_path / "mnist-7.png").read_bytes() == fetch(address + STILL["png"])
