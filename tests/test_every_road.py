"""Holds every road to a picture: addresses and bodies of the service, commands, Python, the page.

    part 1  what the generators that ship draw by each road -> hashes -> those of tests/roads.json
    part 2  each field of each request, by the OpenAPI document -> another value -> pixels, ETag and
            recipe change together, and the picture is the same by every road; or it is refused

Record the hashes again with `python -m tests.test_every_road`. It checks the commit HELD out into a
temporary worktree, sends it the requests below, and writes tests/roads.json. Do so after adding a
request, or when a new version of a library writes the same pixels as other bytes; never because a
picture has changed. Once this module's imports no longer suit that commit, hold a later one that
has passed.
"""

import base64
import contextlib
import functools
import hashlib
import importlib
import importlib.metadata
import inspect
import io
import json
import math
import os
import re
import shlex
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx2 as httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from app.main import create_app
from app.settings import Settings
from model.encoding.marking import read_recipe
from model.pretrained import PretrainedGenerator
from model.training.__main__ import main

Words = dict[str, Any]
Pixels = NDArray[np.uint8]

# --- part 1: what ships is drawn as it was ---

HELD = "6a05107"  # the commit whose pictures are held
RECORD = Path(__file__).with_name("roads.json")
Z_DIMS = {"mnist": 100}  # the generators that ship and are still those of HELD
CLASSED: tuple[str, ...] = ()  # those of them with classes
PLAIN = 128  # seeds, enough for their pixels to tell one kind of processor from another
PROMISES = (  # headers that a client may rely on
    "Content-Type",
    "Cache-Control",
    "Vary",
    "ETag",
    "Content-Disposition",
    "Content-Location",
    "Image-Seed",
    "Image-Model",
)
LIBRARIES = ("isal", "numpy", "onnxruntime", "pillow")  # that decide about bytes
# roads whose files are others than at HELD on purpose, their headers the same, and why
CHANGED: dict[str, str] = {}

EXTENSIONS = ("png", "webp", "avif", "jpg", "jpeg", "npy")
MOVING = ("webp", "apng", "gif", "png", "zip", "npy")  # mp4 needs an extra
LOOKS = (
    "scale=3",
    "scale=2&resample=lanczos",
    "truncation=0.5",
    "truncation=0&download=true",
    "edit=d0:1.5,d3:-2",
    "scale=2&truncation=0.25&edit=d1:0.5",
)
CLASS_LOOKS = ("class=bag", "class=8", "class=ankle+boot&truncation=0.5&scale=2")


class Asked(NamedTuple):
    """One request. {id} stands for the generator, {z} for a latent of its own."""

    method: str
    target: str
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """Names the request in the record."""
        headers = (f"{name}: {value}" for name, value in self.headers)
        return " ".join(filter(None, (self.method, self.target, self.body, *headers)))


def get(target: str, **headers: str) -> Asked:
    """Builds a GET; underscores in the names of headers stand for hyphens."""
    return Asked("GET", target, "", tuple((k.replace("_", "-"), v) for k, v in headers.items()))


def post(target: str, **body: Any) -> Asked:
    """Builds a POST with a JSON body."""
    return Asked("POST", target, json.dumps(body))


def of_one_picture(classed: bool) -> Iterator[Asked]:
    """Yields GETs of /generate, on the hot path and off it, permanent addresses and latents."""
    looks = (*LOOKS, *CLASS_LOOKS) if classed else LOOKS
    for seed in ("0", "7", "9223372036854775807", "ada", "J%C3%BCrgen+K"):
        yield get(f"/generate?seed={seed}")
        yield get(f"/generate.png?n=1&seed={seed}")
    yield Asked("HEAD", "/generate?seed=7")
    for extra in ("", "&scale=2"):
        yield get(f"/generate?seed=7{extra}", If_None_Match="*")
    for name in ("png", "webp", "avif", "jpeg", "npy"):
        yield get(f"/generate?seed=7&format={name}")
        kind = "application/x-npy" if name == "npy" else f"image/{name}"
        yield get("/generate?seed=7", Accept=f"text/html, {kind};q=0.9, */*;q=0.1")
        if name in ("webp", "avif", "jpeg"):
            yield get(f"/generate?seed=7&quality=30&format={name}")
    for extension in EXTENSIONS:
        yield get(f"/generate.{extension}?seed=7")
        yield get(f"/generate.{extension}?seed=7&n=6&columns=4")
    for look in looks:
        for path in ("/generate", "/generate.webp", "/generate.npy"):
            yield get(f"{path}?seed=7&{look}")
        yield get(f"/generate?seed=7&n=5&{look}")
        yield get(f"/generate?mix=3:1,8:-1,5:0.5&{look}")
        yield get(
            f"/generate?z={{z}}&{look}" + ("&class=coat" if classed else "") * (look in LOOKS)
        )
    for mix in ("7", "3:0.5,8", "3:1,8:-1,5:1"):
        yield get(f"/generate.png?mix={mix}")
        yield get(f"/generate.webp?mix={mix}")
    for name in ("png", "webp", "avif", "jpg", "npy", "json"):
        yield get(f"/i/{{id}}/7.{name}")
        yield get(f"/i/{{id}}/7@4x.{name}")
    for name in ("json", "npy"):
        yield get(f"/latents/7.{name}")
        yield get(f"/latents/7.{name}?model={{id}}" + "&class=3" * classed)


def of_many_pictures(classed: bool) -> Iterator[Asked]:
    """Yields GETs of /plane, of /interpolate, and of strips along directions."""
    looks = (*LOOKS, *CLASS_LOOKS) if classed else LOOKS
    for extension in EXTENSIONS:
        yield get(f"/plane.{extension}?seeds=1,2,3,ada&columns=3&rows=2")
    for more in (
        "",
        "&columns=1&rows=1&size=0&x=0.3&y=0.6",
        "&columns=3&rows=3&x=0.25&y=0.5&size=0.5&mode=lerp",
        "&columns=3&rows=3&mode=slerp&format=webp&quality=40",
        *(f"&columns=2&rows=3&{look}" for look in looks),
    ):
        yield get(f"/plane?seeds=1,2,3,4{more}")
    yield get("/plane?seeds=1,2,3,4&columns=2&rows=2", Accept="image/webp")
    for extension in MOVING:
        yield get(f"/interpolate.{extension}?seeds=1,2,ada&frames=6")
        yield get(f"/interpolate.{extension}?seeds=1,2&frames=4&loop=true&fps=7&scale=2")
        name = "strip" if extension == "png" else extension
        yield get(f"/interpolate?seeds=1,2&frames=3&format={name}")
    yield get("/interpolate?seeds=1,2")
    yield Asked("HEAD", "/interpolate.zip?seeds=1,2&frames=3")
    for kind in ("image/apng", "image/gif", "image/png", "application/zip", "application/x-npy"):
        yield get("/interpolate?seeds=1,2&frames=3", Accept=kind)
    for more in (
        *(f"mode={mode}&ease=in-out" for mode in ("lerp", "slerp", "spline")),
        *(f"ease={ease}&fps=60" for ease in ("linear", "in", "out")),
        "mode=spline&loop=true&fps=50",
        "fps=1",
        *looks,
    ):
        for extension in ("webp", "gif", "png"):
            yield get(f"/interpolate.{extension}?seeds=1,2,3&frames=5&{more}")
    yield get("/interpolate?seeds=1,2,3&frames=5&quality=40")
    for path in ("/models/{id}/directions/d0.png", "/models/{id}/directions/d3.webp"):
        yield get(path)
        yield get(f"{path}?seed=7&steps=3&scale=2&resample=lanczos&download=true")


def of_bodies(classed: bool) -> Iterator[Asked]:
    """Yields POSTs to /generate and /interpolate: each source as each kind of file."""
    look: Words = {"truncation": 0.5, "edit": "d0:1.5,d3:-2"} | (
        {"class": "bag"} if classed else {}
    )
    of_z: Words = {"class": "coat"} if classed else {}
    place = {"seeds": [1, 2, 3, 4], "x": 0.3, "y": 0.6}
    recipes: list[Words] = [
        {"seed": 3},
        {"seed": "ada", "truncation": 0.25, "edit": "d1:-0.5"},
        {"z": "{z}", **of_z},
        {"mix": "3:1,8:-1,5:0.5"},
        {"mix": [{"seed": 7}, {"seed": 9, "weight": 0.5}], "truncation": 1},
        {"plane": place},
        {"plane": place | {"mode": "lerp"}, "edit": "d0:0.5"},
    ]
    for one in ({"seed": 7}, {"seed": "ada"}, {"mix": "3:1,8:-1,5:1"}, {"seed": 3, "n": 5}):
        yield post("/generate", **one)
        for name in ("webp", "avif", "jpeg", "npy"):
            yield post("/generate", **one, format=name)
        yield post("/generate", **one, **look, scale=2, resample="lanczos", download=True)
    yield post("/generate", seed=7, format="webp", quality=30)
    for many in (
        {"seed": 3, "n": 3},
        {"mix": "3:1,8:0.5"},
        {"seeds": "1,5,10-12"},
        {"seeds": [1, "ada"], **look, "scale": 2},
        {"z": ["{z}", "{z}"], **of_z},
        {"z": ["{z}"], **look, **of_z, "scale": 2, "resample": "lanczos"},
        {"recipes": recipes},
        {"recipes": recipes, **look, "scale": 2, "resample": "lanczos"},
    ):
        for name in ("png", "webp", "zip", "json", "multipart", "npy"):
            yield post("/generate", **many, format=name)
    yield post("/generate", seeds="1-6", columns=4, format="jpeg", quality=30, download=True)
    for kind in ("application/zip", "application/json", "multipart/mixed", "image/webp"):
        yield post("/generate", seeds="1-3")._replace(headers=(("Accept", kind),))
    for way in (
        {"seeds": [1, 2, "ada"], **look},
        {"recipes": recipes},
        {"recipes": recipes[:2], **look},
    ):
        for name in ("webp", "apng", "gif", "strip", "zip", "npy"):
            yield post("/interpolate", **way, frames=8, format=name)
        yield post("/interpolate", **way, frames=9, mode="spline", loop=True, ease="in", scale=2)


def of_the_page(classed: bool) -> Iterator[Asked]:
    """Yields the requests of the explorer, with parameters in the order of app/page."""
    class_, words = ("&class=bag", {"class": "bag"}) if classed else ("", {})
    look = f"{class_}&truncation=0.5&edit=d0:1.2"
    change: Words = {**words, "truncation": 0.5, "edit": "d0:1.2"}
    yield get("/i/{id}/7@9x.png")
    for extension in ("png", "webp", "avif", "jpg"):
        yield get(f"/generate.{extension}?model={{id}}&seed=7{look}&scale=4")
    yield get(f"/generate.png?model={{id}}&seed=ada{class_}")
    yield get(f"/generate.png?model={{id}}&mix=3:1,8:-1,5:1{look}")
    yield get(f"/generate.png?model={{id}}&z={{z}}{class_}")
    yield get(f"/generate.png?model={{id}}&seed=100&n=24&columns=8{look}")
    yield get("/generate.png?model={id}&seed=0&n=32&columns=8")
    yield get(f"/plane.png?model={{id}}&seeds=3,8,5,42&columns=9&rows=9&mode=lerp{look}")
    place = "x=0.31&y=0.6&size=0&columns=1&rows=1"
    yield get(f"/plane.png?model={{id}}&seeds=3,8,5,42&{place}{look}")
    yield get(f"/plane.webp?model={{id}}&seeds=3,8,5,42&mode=slerp&{place}&scale=4")
    yield get("/interpolate.png?model={id}&seeds=1,2,3&loop=true&frames=48")
    yield get(f"/interpolate.png?model={{id}}&seeds=3,8&frames=25&ease=linear&loop=false{look}")
    yield get(
        f"/interpolate.gif?model={{id}}&seeds=3,8&frames=25&mode=lerp&ease=in-out&loop=true"
        f"&fps=24&scale=2{look}"
    )
    ends = [{"seed": 7, **words, "edit": f"d{n}:{step}"} for n in range(8) for step in (-2.9, 2.9)]
    yield post("/generate", model="{id}", recipes=ends, columns=16, format="png")
    yield post("/generate", model="{id}", recipes=[{"z": "{z}", **change}], format="jpeg", scale=9)
    pins = [{"seed": 7, **words}, {"mix": "3:1,8:-1,5:1", **change}]
    more: Words = {"frames": 25, "ease": "linear", "loop": False}
    yield post("/interpolate", model="{id}", recipes=pins, **more, format="strip")
    yield post("/interpolate", model="{id}", recipes=pins, **more, fps=20, scale=2, format="webp")


def of_commands(classed: bool) -> Iterator[str]:
    """Yields the commands that draw; NAME stands for the generator."""
    class_ = " --class bag" if classed else ""
    look = f"{class_} --truncation 0.5 --edit d0:1.5,d3:-2"
    yield "generate NAME --seeds 0-3,9 --output sheet.png"
    yield f"generate NAME --n 5 --first-seed 3 --columns 2 --scale 2{look} --output sheet.png"
    yield f"generate NAME --seeds 7{class_} --output one.png"
    yield "generate NAME --seeds 0-2,9 --batch 2 --output pictures.zip"
    yield f"generate NAME --seeds 5,3 --scale 3{look} --output pictures.zip"
    yield "generate NAME --n 3 --output folder"
    yield f"generate NAME --seeds 9,3{look} --output folder"
    yield "interpolate NAME --seeds 1,2 --output way.webp"
    yield "interpolate NAME --seeds 1-3 --frames 7 --loop --fps 12 --output way.gif"
    yield f"interpolate NAME --seeds 1-3 --frames 7 --mode spline{look} --output way.png"
    yield "interpolate NAME --seeds 1-4 --frames 4 --grid 2x1 --scale 2 --output way.apng"
    yield f"interpolate NAME --seeds 1,2 --frames 5 --ease in-out{look} --output way.webp"
    yield "interpolate NAME --seeds 1,2 --frames 5 --mode lerp --output way.apng"


def of_python(classed: bool) -> Iterator[Words]:
    """Yields arguments of PretrainedGenerator.generate."""
    yield {"seeds": [0, 1, 2]}
    yield {"seeds": [7], "truncation": 0.5}
    if classed:
        yield {"seeds": [0, 1, 2], "class_": "bag", "truncation": 0.25}
        yield {"seeds": [7], "class_": 3}


def requests(name: str) -> list[Asked]:
    """Lists every request to a generator, each once."""
    parts = (of_one_picture, of_many_pictures, of_bodies, of_the_page)
    return list(dict.fromkeys(one for part in parts for one in part(name in CLASSED)))


def hashed(*contents: bytes) -> str:
    """Returns 64 bits of the SHA-256 of each content, in hexadecimal."""
    return " ".join(hashlib.sha256(content).hexdigest()[:16] for content in contents)


def latent_of(name: str) -> list[float]:
    """Makes up a latent of the generator's length, with values from -1 to 1."""
    return [(37 * place % 41 - 20) / 20 for place in range(Z_DIMS[name])]


def send(
    client: TestClient, asked: Asked, tokens: Mapping[str, str | list[float]]
) -> httpx.Response:
    """Sends a request with its tokens replaced."""
    _, target, body, headers = asked
    for name, value in tokens.items():
        text = value if isinstance(value, str) else ",".join(map(str, value))
        target = target.replace(f"{{{name}}}", quote(text, safe=":,@"))
        body = body.replace(f'"{{{name}}}"', json.dumps(value))
    kind = [("Content-Type", "application/json")] if body else []
    return client.request(asked.method, target, content=body or None, headers=[*kind, *headers])


def hashed_answer(answer: httpx.Response) -> str:
    """Hashes the body and the headers of PROMISES, without a multipart answer's random boundary."""
    assert answer.status_code in (200, 304), answer.text
    headers = {name: answer.headers[name] for name in PROMISES if name in answer.headers}
    promises, content = json.dumps([answer.status_code, headers]), answer.content
    if boundary := re.search(r"boundary=(\w+)", promises):
        promises = promises.replace(boundary[1], "boundary")
        content = content.replace(boundary[1].encode(), b"boundary")
    return hashed(content, promises.encode())


def written(name: str, command: str) -> str:
    """Hashes what a command writes: a file, or the files of a folder with their names."""
    with tempfile.TemporaryDirectory() as folder:
        *arguments, output = shlex.split(command.replace("NAME", name))
        path = Path(folder) / output
        with contextlib.redirect_stdout(io.StringIO()):
            assert main([*arguments, str(path), "--device", "cpu"]) == 0
        files = sorted(path.iterdir()) if path.is_dir() else []
        return hashed(
            b"".join(file.name.encode() + file.read_bytes() for file in files) or path.read_bytes()
        )


@functools.cache
def pretrained(name: str) -> PretrainedGenerator:
    """Loads a generator for use from Python."""
    return PretrainedGenerator.from_pretrained(name, device="cpu")


def drawn(name: str) -> dict[str, str]:
    """Takes every road and returns its hashes, of the file and of the headers, by its name."""
    found = {}
    settings = Settings(generator=name, device="cpu", threads=1, max_batch=16, max_wait=600)
    with TestClient(create_app(settings)) as client:
        tokens = {"id": client.get("/models").json()["default"], "z": latent_of(name)}
        for asked in requests(name):
            found[asked.name] = hashed_answer(send(client, asked, tokens))
    for command in of_commands(name in CLASSED):
        found[f"python -m model.training {command}"] = written(name, command)
    for words in of_python(name in CLASSED):
        found[f"generate(**{json.dumps(words)})"] = hashed(
            pretrained(name).generate(**words).tobytes()
        )
    return found


@functools.cache
def plain_pixels(name: str) -> str:
    """Hashes what the generator itself draws for the first seeds."""
    return hashed(pretrained(name).generate(range(PLAIN)).tobytes())


def arithmetic() -> str:
    """Hashes floats that ONNX Runtime computes with a network that is not ours: they differ between
    kinds of processors and versions of the runtime, and no change of ours changes them.
    """
    # imported by name, after our own modules: they tell the runtime not to report to its maker
    onnx, onnxruntime = map(importlib.import_module, ("onnx", "onnxruntime"))
    random, values = np.random.Philox(key=1), {"shape": np.array([-1, 64, 4, 4])}
    shapes = {"x": (4, 96), "dense": (96, 1024), "up": (64, 32, 4, 4), "last": (3, 32, 3, 3)}
    for name, shape in shapes.items():
        words = random.random_raw(math.prod(shape)) >> 40
        values[name] = words.reshape(shape).astype(np.float32) / np.float32(2**24) - np.float32(0.5)
    x, node = values.pop("x"), onnx.helper.make_node
    nodes = [
        node("MatMul", ["x", "dense"], ["a"]),
        node("Reshape", ["a", "shape"], ["b"]),
        node("ConvTranspose", ["b", "up"], ["c"], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Tanh", ["c"], ["d"]),
        node("Conv", ["d", "last"], ["y"], pads=[1, 1, 1, 1]),
    ]
    weights = [onnx.numpy_helper.from_array(value, name) for name, value in values.items()]
    ends = [[onnx.helper.make_tensor_value_info(name, 1, None)] for name in "xy"]
    graph = onnx.helper.make_graph(nodes, "arithmetic", *ends, weights)
    opsets = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return hashed(session.run(["y"], {"x": x})[0].tobytes())


def versions() -> dict[str, str]:
    """Returns the versions of the libraries that decide about bytes."""
    found = {}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def record(tree: Path) -> Words:
    """Takes every road in the source tree that is imported, which has to be this one."""
    assert Path(inspect.getfile(create_app)).is_relative_to(tree), "another tree was imported"
    return {
        "commit": HELD,
        "versions": versions(),
        "arithmetic": arithmetic(),
        "plain": {name: plain_pixels(name) for name in Z_DIMS},
        "roads": {name: drawn(name) for name in Z_DIMS},
    }


def record_anew() -> None:
    """Writes the record of the commit that is held, from a temporary worktree."""
    root = Path(__file__).parent.parent
    git = ["git", "-C", str(root), "worktree"]
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder).resolve() / "tree"
        subprocess.run([*git, "add", "--detach", str(tree), HELD], check=True)
        try:
            command = [sys.executable, str(Path(__file__).resolve()), str(tree)]
            environment = os.environ | {"PYTHONPATH": str(tree)}
            done = subprocess.run(
                command, cwd=tree, env=environment, stdout=subprocess.PIPE, check=True
            )
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)
    RECORD.write_text(json.dumps(json.loads(done.stdout), indent=1) + "\n")


@pytest.fixture(scope="module")
def recorded() -> Words:
    """Reads the record."""
    found: Words = json.loads(RECORD.read_text())
    return found


def skip_on_another_processor(recorded: Words, name: str) -> None:
    """Skips where the generator itself draws other pixels since the arithmetic is another."""
    if plain_pixels(name) != recorded["plain"][name] and arithmetic() != recorded["arithmetic"]:
        pytest.skip(
            "recorded on another kind of processor, or with another ONNX Runtime: the plain pixels "
            f"of {name} differ, and so does the output of a network that is not ours"
        )


@pytest.mark.parametrize("name", Z_DIMS)
def test_generator_that_ships_draws_the_pixels_that_it_drew(recorded: Words, name: str) -> None:
    skip_on_another_processor(recorded, name)
    same = plain_pixels(name) == recorded["plain"][name]
    assert same, "the arithmetic is that of the record, and the pixels are not"


def fail_with(faults: Sequence[str]) -> None:
    """Fails with all faults, a line each, if there are any."""
    if faults:
        pytest.fail("\n".join(["", *faults]), pytrace=False)


def different_parts(found: str, wanted: str) -> str:
    """Says whether the hashes of the file, of the headers or of both differ."""
    pairs = zip(("file", "headers"), found.split(), wanted.split(), strict=False)
    return " and ".join(f"other {part}" for part, one, other in pairs if one != other)


@pytest.mark.parametrize("name", Z_DIMS)
def test_generator_that_ships_gives_the_same_files_by_every_road(
    recorded: Words, name: str
) -> None:
    skip_on_another_processor(recorded, name)
    wanted, found = recorded["roads"][name], drawn(name)
    assert list(found) == list(wanted), "the requests are not those of the record: record again"
    faults = [
        f"{road}: {different_parts(found[road], wanted[road])}"
        for road in wanted
        if found[road] != wanted[road]
        and not (
            different_parts(found[road], wanted[road]) == "other file"
            and any(re.search(pattern, road) for pattern in CHANGED)
        )
    ]
    if faults and versions() != recorded["versions"]:
        faults.append(f"libraries: {versions()}, and {recorded['versions']} when it was recorded")
    fail_with(faults)


# --- part 2: another value of a field changes the same by every road ---

SEED, OTHER, THIRD, FOURTH = SEEDS = 3, 4, 5, 7  # none is of the class in EXAMPLES by itself
# values of fields whose schema names none
EXAMPLES: dict[str, Any] = {
    "model": "tiny",
    "class": "dog",
    "edit": "d0:0.5,d1:-0.25",
    "mix": "3:1,8:0.5",
    "name": "+491701234567",
    "prompt": "ada",
    "size": "64x64",
    "user": "ada",
}
# fields that say which pictures are drawn; apart from n each of them excludes the others
SOURCES = ("seed", "name", "n", "mix", "z", "seeds", "recipes", "plane")
# other fields without which a field has no effect
COMPANY: dict[str, Words] = {
    "resample": {"scale": 2},
    "columns": {"n": 4},
    "x": {"size": 0.5},
    "y": {"size": 0.5},
    "output_compression": {"output_format": "jpeg"},
}
# fields that the laws leave out, since each of their values is a road of its own
LEFT_OUT = ("format", "seeds", "z", "recipes", "plane", "output_format", "response_format")
# values that change no pixels, and so neither tag nor recipe
IDLE: dict[str, Words] = {
    "download": {"download": True},  # says what a browser does with the file
    "resample": {"resample": "lanczos"},  # without a scale nothing is enlarged
    # what OpenAI's clients may say, and no generator knows
    "style": {"style": "vivid"},
    "background": {"background": "opaque"},
    "moderation": {"moderation": "low"},
    "stream": {"stream": False},
    "user": {"user": "ada"},
}
# the part that stays although the field changes the others
STAYS = {
    "quality": "recipes",  # a recipe names the picture, whatever file it is in
    "output_compression": "recipes",
    "fps": "pixels",  # says how long a frame is shown
}
# known faults, by road and field: the recipe of a sheet lists its pictures, and leaves out columns
KNOWN = {
    (f"POST {source}, {format}", "columns")
    for source in ("seeds", "recipes")
    for format in ("png", "webp")
}
# fields that say which pictures are drawn and how they are laid out, in words of the road's own
PLACES = (
    *("seed", "name", "mix", "n", "columns", "rows", "x", "y", "size", "steps"),
    *("frames", "mode", "loop", "ease", "fps"),
)
INEXACT = ("avif", "jpg", "gif")  # formats that do not keep every pixel


@dataclass(frozen=True)
class Road:
    """A request whose fields the laws change, and the pictures that it gives."""

    method: str
    path: str
    words: Words
    shows: tuple[int | None, ...] = (SEED,)  # the seed of each picture; None: of no seed alone
    columns: int = 0  # in the sheet; 0: every picture by itself
    inside: bool = False  # the fields are those of each recipe in the body
    accept: str = "*/*"

    @property
    def exact(self) -> bool:
        """Tells whether the format keeps every pixel."""
        return not self.path.endswith(INEXACT) and self.words.get("format") not in INEXACT


class Seen(NamedTuple):
    """The parts of an answer that have to change together."""

    pixels: Pixels  # (N, H, W, 3)
    tag: str | None  # ETag, or the Content-Location of an answer to POST
    recipes: list[Words | None]  # in each file
    manifest: list[Words]  # what a zip or a JSON answer says of each file


PAIR = (SEED, OTHER)
CORNERS = (SEED, None, OTHER, None, None, None, THIRD, None, FOURTH)
WAY = (SEED, None, None, OTHER)
MANY: dict[str, Words] = {
    "seeds": {"seeds": [*PAIR]},
    "recipes": {"recipes": [{"seed": seed} for seed in PAIR]},
}


def by_get() -> Iterator[tuple[str, Road]]:
    """Yields the roads by GET with their names."""
    seed: Words = {"seed": SEED}
    yield "GET /generate", Road("GET", "/generate", seed)
    yield "GET, Accept", Road("GET", "/generate", seed, accept="image/webp")
    yield "GET, format", Road("GET", "/generate", seed | {"format": "png"})
    yield "GET mix", Road("GET", "/generate.png", {"mix": f"{SEED}:1"})
    yield "GET z", Road("GET", "/generate.png", {"z": "{z}", "class": "{class}"})
    sheet, plane = seed | {"n": 2, "columns": 2}, {"seeds": "3,4,5,7", "columns": 3, "rows": 3}
    for extension in ("png", "webp", "avif", "jpg", "npy"):
        yield f"GET .{extension}", Road("GET", f"/generate.{extension}", seed)
        yield f"GET sheet .{extension}", Road("GET", f"/generate.{extension}", sheet, PAIR, 2)
        yield f"GET plane .{extension}", Road("GET", f"/plane.{extension}", plane, CORNERS, 3)
    way = {"seeds": "3,4", "frames": 4}
    for extension in ("webp", "apng", "gif", "png", "zip", "npy"):
        path, columns = f"/interpolate.{extension}", 4 if extension == "png" else 0
        yield f"GET interpolate .{extension}", Road("GET", path, way, WAY, columns)
    strip = "/models/{id}/directions/d0.png"
    yield "GET direction", Road("GET", strip, seed | {"steps": 3}, (None, SEED, None), 3)


def by_post() -> Iterator[tuple[str, Road]]:
    """Yields the roads by POST with their names."""
    for format in ("png", "webp", "npy", "zip", "json", "multipart"):
        form = {"format": format}
        columns = 2 if format in ("png", "webp") else 0
        yield f"POST {format}", Road("POST", "/generate", {"seed": SEED} | form)
        yield f"POST mix, {format}", Road("POST", "/generate", {"mix": [{"seed": SEED}]} | form)
        latent: Words = {"z": ["{z}"], "class": "{class}"}
        yield f"POST z, {format}", Road("POST", "/generate", latent | form)
        for source, words in MANY.items():
            road = Road("POST", "/generate", words | form, PAIR, columns)
            yield f"POST {source}, {format}", road
        yield f"POST in each recipe, {format}", replace(road, inside=True)
    prompt: Words = {"prompt": SEED, "n": 2, "response_format": "b64_json"}
    yield "POST prompt", Road("POST", "/v1/images/generations", prompt, PAIR)
    for format in ("webp", "apng", "gif", "strip", "zip", "npy"):
        columns = 4 if format == "strip" else 0
        for source, words in MANY.items():
            way = words | {"frames": 4, "format": format}
            road = Road("POST", "/interpolate", way, WAY, columns)
            yield f"POST interpolate {source}, {format}", road
        yield f"POST interpolate in each recipe, {format}", replace(road, inside=True)


# Which fields there are, and other values of them

ROADS = dict((*by_get(), *by_post()))
DOCUMENT = create_app(Settings(generator="nowhere")).openapi()


def fields(road: Road) -> dict[str, Words]:
    """Finds the schema of each field of a road in the OpenAPI document."""
    components: Words = DOCUMENT["components"]["schemas"]
    if road.inside:
        found: dict[str, Words] = components["Recipe"]["properties"]
        return found
    template = re.sub(r"\.\w+$", ".{extension}", road.path)
    template = template.replace("{id}", "{model}").replace("/d0", "/{direction}")
    operation = DOCUMENT["paths"][template][road.method.lower()]
    if road.method == "POST":
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        found = components[schema["$ref"].rpartition("/")[2]]["properties"]
    else:
        parameters = [one for one in operation["parameters"] if one.get("in") == "query"]
        found = {one["name"]: one["schema"] for one in parameters}
    return found


def other_values(field: str, schema: Words, now: Any) -> list[Any]:
    """Derives values from a field's schema that are valid and not its present one."""
    if field in EXAMPLES:
        return [EXAMPLES[field]]
    (first, *_) = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    if "enum" in first:
        return [value for value in first["enum"] if value != now]
    types = first.get("type")
    kind = types[0] if isinstance(types, list) else types
    step = 1 if kind == "integer" else 0
    low = first.get("minimum", first.get("exclusiveMinimum", -step) + step)
    high = first.get("maximum", first.get("exclusiveMaximum", low + 10 + step) - step)
    match kind:
        case "boolean":
            return [not now]
        case "integer":
            return [low if now is None or now >= high else now + 1]
        case "number":
            start = high if now is None else now
            far = low if start - low > high - start else high
            return [(start + far) / 2]
    pytest.fail(f"{field}: its schema names no value; add an example to EXAMPLES", pytrace=False)


TAKING = {  # the roads that take a field, by the field
    field: [name for name, other in ROADS.items() if field in fields(other)]
    for road in ROADS.values()
    for field in fields(road)
    if field not in LEFT_OUT
}
See = Callable[[Asked], Seen | None]


def asked_of(road: Road, changes: Words) -> Asked:
    """Builds the road's request with some fields changed."""
    words = road.words
    if road.inside:
        words = words | {"recipes": [with_changes(recipe, changes) for recipe in words["recipes"]]}
    else:
        words = with_changes(words, changes)
    headers = (("Accept", road.accept),)
    if road.method == "POST":
        return Asked("POST", road.path, json.dumps(words), headers)
    pairs = (f"{name}={query_value(value)}" for name, value in words.items())
    return Asked("GET", f"{road.path}?{'&'.join(pairs)}", "", headers)


def with_changes(words: Words, changes: Words) -> Words:
    """Returns words with some changed; a new source of pictures takes the place of the old one."""
    if changes.keys() & {*SOURCES} - {"n"}:
        stays = {"n"} & words.keys() if "seed" in changes else set()
        words = {name: words[name] for name in words if name in stays or name not in SOURCES}
    return words | changes


def query_value(value: Any) -> str:
    """Writes a value as it stands in a query string."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(map(str, value))
    return quote(str(value), safe=":,{}")


# What comes back


def decoded(content: bytes) -> list[Pixels]:
    """Decodes the pictures (H, W, 3) of a file: one, all frames, or all of an array."""
    if content.startswith(b"\x93NUMPY"):
        array: Pixels = np.load(io.BytesIO(content))
        colours = array.repeat(3 // array.shape[-1], axis=-1)
        return [*colours] if colours.ndim == 4 else [colours]
    with Image.open(io.BytesIO(content)) as image:
        return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)]


def unpacked(answer: httpx.Response) -> tuple[list[bytes], list[Words]]:
    """Takes the files out of an answer, and what it says of each."""
    content = answer.content
    match answer.headers["Content-Type"].partition(";")[0]:
        case "application/zip":
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                files: list[Words] = json.loads(archive.read("manifest.json"))["files"]
                return [archive.read(file.pop("file")) for file in files], files
        case "application/json":
            found: Words = json.loads(content)
            if data := found.get("data"):
                return [base64.b64decode(picture["b64_json"]) for picture in data], []
            pictures: list[Words] = found["pictures"]
            return [base64.b64decode(picture.pop("image")) for picture in pictures], pictures
        case "multipart/mixed":
            boundary = answer.headers["Content-Type"].partition("boundary=")[2]
            parts = content.split(f"--{boundary}".encode())[1:-1]
            return [part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for part in parts], []
    return [content], []


def seen(answer: httpx.Response) -> Seen | None:
    """Reads an answer; returns None where the request was refused."""
    if answer.status_code == 422:
        return None
    assert answer.status_code == 200, answer.text
    files, manifest = unpacked(answer)
    tag = answer.headers.get("ETag", answer.headers.get("Content-Location"))
    pixels = np.stack([picture for file in files for picture in decoded(file)])
    return Seen(pixels, tag, [read_recipe(file) for file in files], manifest)


@pytest.fixture(scope="module")
def see(folder: Path) -> Iterator[See]:
    """Returns a function that sends a request, once, to a service of `pets` and `tiny`."""
    settings = Settings(
        generator=str(folder / "pets"),
        models=(str(folder / "tiny"),),
        device="cpu",
        max_wait=600,
    )
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        latents = [client.get(f"/latents/{seed}.json").json() for seed in SEEDS]
        assert EXAMPLES["class"] not in [latent["class"] for latent in latents]
        own = {name: latents[0][name] for name in ("z", "class")}
        tokens = {"id": client.get("/models").json()["default"], **own}

        @functools.cache
        def send_once(asked: Asked) -> Seen | None:
            return seen(send(client, asked, tokens))

        yield send_once


class Change(NamedTuple):
    """What a road answers before and after a change of one field."""

    road: str
    sent: Words  # the field, and those without which it has no effect
    before: Seen
    after: Seen

    def __str__(self) -> str:
        return f"{self.road} with {self.sent}"


def company(see: See, road: Road, field: str) -> Words:
    """Returns the fields without which a field has no effect, if the road takes them."""
    wanted = COMPANY.get(field, {})
    fits = wanted.keys() <= fields(road).keys() and see(asked_of(road, wanted)) is not None
    return wanted if fits else {}


def changes(see: See, field: str) -> Iterator[Change]:
    """Changes a field on every road that takes it; yields the changes that are not refused."""
    for name in TAKING[field]:
        road = ROADS[name]
        beside, schema = company(see, road, field), fields(road)[field]
        before = see(asked_of(road, beside))
        assert before is not None, f"{name} is refused"
        now = (road.words | beside).get(field, schema.get("default"))
        for value in other_values(field, schema, now):
            sent = beside | {field: value}
            if (after := see(asked_of(road, sent))) is not None:
                yield Change(name, sent, before, after)


def differing(before: Seen, after: Seen) -> dict[str, bool]:
    """Compares the parts of two answers, of those that there are."""
    found = {"pixels": not np.array_equal(before.pixels, after.pixels)}
    if before.tag:
        found["tag"] = before.tag != after.tag
    if any(before.recipes):
        found["recipes"] = before.recipes != after.recipes
    if before.manifest:
        found["manifest"] = before.manifest != after.manifest
    return found


def cells(road: Road, pixels: Pixels) -> list[Pixels]:
    """Cuts a sheet into its pictures (H, W, 3); leaves pictures that are on none as they are."""
    if not road.columns:
        return [*pixels]
    (sheet,) = pixels
    rows = np.split(sheet, len(road.shows) // road.columns)
    return [cell for row in rows for cell in np.split(row, road.columns, axis=1)]


def is_picture(answer: Seen | None, picture: Pixels) -> bool:
    """Tells whether a request was answered with that picture."""
    return answer is not None and np.array_equal(answer.pixels[0], picture)


each_field = pytest.mark.parametrize("field", TAKING)


@each_field
def test_field_changes_pixels_tag_and_recipe_together_or_is_refused(see: See, field: str) -> None:
    faults: dict[str, str] = {}
    for change in changes(see, field):
        found = differing(change.before, change.after)
        if field in STAYS and found.pop(STAYS[field], False):
            faults[change.road] = f"{change}: {STAYS[field]} changed"
        if len({*found.values()}) > 1:
            changed, stayed = ([part for part in found if found[part] is x] for x in (True, False))
            faults[change.road] = f"{change}: {', '.join(changed)} changed, {', '.join(stayed)} not"
    known = {road for road, of in KNOWN if of == field}
    assert known <= faults.keys(), "a known fault is mended: take it out of KNOWN"
    fail_with([fault for road, fault in faults.items() if road not in known])


def test_every_road_that_enlarges_takes_the_upscaler(see: See) -> None:
    full = see(asked_of(ROADS["GET .png"], {"scale": 2, "resample": "learned"}))
    assert full is not None
    assert full.recipes[0] is not None
    faults = []
    for name in TAKING["resample"]:
        road = ROADS[name]
        # a path that names the generator's hash has to name the upscaler's too
        path = road.path.replace("{id}", quote(full.recipes[0]["model"], safe="@"))
        size = {"size": "64x64"} if "prompt" in road.words else {"scale": 2}
        large = replace(road, path=path)
        near, learned = (
            see(asked_of(large, {**size, "resample": way})) for way in ("nearest", "learned")
        )
        if near is None or learned is None or np.array_equal(near.pixels, learned.pixels):
            faults.append(f"{name}: {'the same as nearest' if learned else 'refused'}")
    fail_with(faults)


@each_field
def test_field_changes_pictures_by_some_road(see: See, field: str) -> None:
    seen_of_it = any(differing(one.before, one.after)["pixels"] for one in changes(see, field))
    idle = STAYS.get(field) == "pixels" or (field in IDLE and field not in COMPANY)
    assert seen_of_it is not idle, f"{field}: IDLE and STAYS tell which fields change no picture"


@pytest.mark.parametrize("field", IDLE)
def test_field_that_changes_no_pixels_changes_no_tag_and_no_recipe(see: See, field: str) -> None:
    faults = []
    for name in TAKING[field]:
        before = see(asked_of(ROADS[name], {}))
        after = see(asked_of(ROADS[name], IDLE[field]))
        assert before is not None
        assert after is not None, f"{name} refuses {IDLE[field]}"
        faults += [f"{name}: {part}" for part, other in differing(before, after).items() if other]
    fail_with(faults)


@each_field
def test_changed_picture_is_the_same_by_every_road(see: See, field: str) -> None:
    plain = ROADS["GET .png"]
    if field in PLACES or field in STAYS or field not in fields(plain):
        return
    faults = []
    for change in changes(see, field):
        road = ROADS[change.road]
        if not road.exact:
            continue
        wrong = [
            seed
            for seed, picture in zip(road.shows, cells(road, change.after.pixels), strict=True)
            if seed is not None
            and not is_picture(see(asked_of(plain, {"seed": seed} | change.sent)), picture)
        ]
        if wrong:
            faults.append(f"{change}: GET /generate.png gives other pictures of seeds {wrong}")
    fail_with(faults)


@each_field
def test_recipe_and_address_of_a_changed_picture_lead_to_it_again(see: See, field: str) -> None:
    faults = []
    for change in changes(see, field):
        road, (pixels, tag, recipes, _) = ROADS[change.road], change.after
        if not road.path.startswith(("/generate", "/v1/")):
            continue
        address = tag if road.method == "POST" else None
        if address and not is_picture(see(Asked("GET", address)), pixels[0]):
            faults.append(f"{change}: {address} is another picture")
        if field in STAYS or not road.exact:
            continue
        for recipe, picture in zip(recipes, pixels, strict=False):
            if recipe and "pictures" not in recipe:
                again = see(asked_of(Road("GET", "/generate.png", recipe), {}))
                if not is_picture(again, picture):
                    faults.append(f"{change}: {recipe} is another picture")
    fail_with(faults)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(record(Path(sys.argv[1]))))
    else:
        record_anew()
