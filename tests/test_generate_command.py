"""`generate` writes what a service serves: a folder, a zip, a sheet; alone or by several processes.

The service is held beside it, byte for byte.
"""

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.main import create_app
from app.settings import Settings
from model.files import whole, write_whole
from model.generator_file import read_generator_file
from model.generators import DEFAULT
from model.samplers.sampler import load_sampler
from model.training.__main__ import main
from model.training.commands import generate
from model.training.datasets import shard_writer
from model.training.datasets.dataset import load
from model.training.datasets.shards import read_shards
from tests.services import TIMEOUT
from tests.statuses import status_of

ROOT = Path(__file__).parent.parent
TINY, PETS = "tiny", "pets"


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[TestClient]:
    settings = Settings(
        generator=str(folder / TINY), models=(str(folder / PETS),), device="cpu", max_batch=16
    )
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_folder_holds_the_very_files_that_are_served(
    folder: Path, service: TestClient, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = ["generate", str(folder / TINY), "--seeds", "0-5,77", "--output", str(out)]
    assert main([*arguments, "--batch", "3", "--device", "cpu"]) == 0
    seeds = [0, 1, 2, 3, 4, 5, 77]
    assert names(out) == ["manifest.json", *(f"seed{seed:06d}.png" for seed in seeds)]
    for seed in seeds:
        served = service.get(f"/generate?seed={seed}").content
        assert (out / f"seed{seed:06d}.png").read_bytes() == served


def test_pixels_are_those_of_the_sampler(folder: Path, tmp_path: Path) -> None:
    file = read_generator_file(folder / TINY)
    arguments = ["generate", str(folder / TINY), "--n", "4", "--first-seed", "9"]
    assert main([*arguments, "--output", str(tmp_path / "out"), "--device", "cpu"]) == 0
    for seed, wanted in zip(
        range(9, 13), load_sampler(file, "cpu")(file.config.rows(range(9, 13))), strict=True
    ):
        with Image.open(tmp_path / "out" / f"seed{seed:06d}.png") as image:
            assert np.array_equal(np.asarray(image), wanted[..., 0])


@pytest.mark.parametrize(
    ("options", "query"),
    [
        (["--class", "red panda"], "class=red panda"),
        (["--class", "1", "--scale", "3"], "class=dog&scale=3"),
        (["--truncation", "0.7", "--edit", "d3:-1,d0:1.25"], "truncation=0.7&edit=d0:1.25,d3:-1"),
        (["--truncation", "0", "--class", "cat"], "truncation=0&class=cat"),
    ],
)
def test_options_do_what_the_services_parameters_do(
    folder: Path, service: TestClient, tmp_path: Path, options: list[str], query: str
) -> None:
    arguments = ["generate", str(folder / PETS), "--seeds", "6,3", "--device", "cpu", *options]
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 0
    for seed in (3, 6):
        served = service.get(f"/generate?model={PETS}&seed={seed}&{query}")
        assert served.status_code == 200, served.text
        assert (tmp_path / "out" / f"seed{seed:06d}.png").read_bytes() == served.content


def test_manifest_names_generator_seed_and_class(folder: Path, tmp_path: Path) -> None:
    config = read_generator_file(folder / PETS).config
    arguments = ["generate", str(folder / PETS), "--n", "5", "--output", str(tmp_path / "out")]
    assert main([*arguments, "--device", "cpu", "--truncation", "0.5"]) == 0
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    files = manifest.pop("files")
    assert manifest == {
        "model": config.id,
        "weights_sha256": config.weights_sha256,
        "precision": "fp32",
        "truncation": 0.5,
        "pictures": 5,
    }
    places = config.rows(range(5))[:, 8:].argmax(axis=1)
    assert [(entry["seed"], entry["class"]) for entry in files] == [
        (seed, config.classes[place]) for seed, place in enumerate(places)
    ]
    assert [entry["file"] for entry in files] == names(tmp_path / "out")[1:]


def test_zip_holds_the_same_files_and_the_same_order_gives_the_same_zip(
    folder: Path, tmp_path: Path
) -> None:
    arguments = ["generate", str(folder / TINY), "--seeds", "7,2", "--device", "cpu", "--output"]
    for name in ("a.zip", "b.zip", "folder"):
        assert main([*arguments, str(tmp_path / name)]) == 0
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == ["seed000007.png", "seed000002.png", "manifest.json"]
        for name in archive.namelist():
            assert archive.read(name) == (tmp_path / "folder" / name).read_bytes()
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_sheet_is_the_sheet_that_is_served(
    folder: Path, service: TestClient, tmp_path: Path
) -> None:
    arguments = ["generate", str(folder / TINY), "--device", "cpu"]
    plain, few = tmp_path / "plain.png", tmp_path / "few.png"
    assert main([*arguments, "--n", "7", "--columns", "3", "--output", str(plain)]) == 0
    assert plain.read_bytes() == service.get("/generate?seed=0&n=7&columns=3").content
    assert main([*arguments, "--seeds", "5,1,9", "--scale", "2", "--output", str(few)]) == 0
    body = {"seeds": "5,1,9", "scale": 2, "format": "png"}
    assert few.read_bytes() == service.post("/generate", json=body).content
    one = tmp_path / "one.png"
    assert main([*arguments, "--seeds", "5", "--output", str(one)]) == 0
    assert one.read_bytes() == service.get("/generate?seed=5").content


def test_interrupted_folder_goes_on_and_a_whole_one_is_left_alone(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = [
        "generate",
        str(folder / TINY),
        "--n",
        "9",
        "--device",
        "cpu",
        "--output",
        str(out),
    ]
    assert main(arguments) == 0
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.iterdir()}
    for name in ("seed000003.png", "seed000008.png"):
        (out / name).unlink()
    (out / ".seed000003.png.tmp").write_bytes(b"half of it")
    assert main(arguments) == 0
    assert "2 of 9 pictures generated now" in capsys.readouterr().out
    for name, (content, time) in before.items():
        assert (out / name).read_bytes() == content
        if name not in ("seed000003.png", "seed000008.png"):
            assert (out / name).stat().st_mtime_ns == time
    assert main(arguments) == 0
    assert "0 of 9 pictures generated now" in capsys.readouterr().out


def test_broken_off_zip_leaves_nothing_behind(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(generate.Order, "manifest", interrupted)
    arguments = ["generate", str(folder / TINY), "--n", "3", "--output", str(tmp_path / "x.zip")]
    assert main([*arguments, "--device", "cpu"]) == 1
    assert names(tmp_path) == []


def test_each_process_of_torchrun_draws_its_share(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    together, alone = tmp_path / "together", tmp_path / "alone"
    arguments = ["generate", str(folder / TINY), "--count", "7", "--device", "cpu", "--output"]
    assert main([*arguments, str(alone)]) == 0
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    shares = []
    for rank in ("2", "0", "1"):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("LOCAL_RANK", rank)
        before = set(names(together)) if together.exists() else set()
        assert main([*arguments, str(together)]) == 0
        shares.append(set(names(together)) - before - {"manifest.json"})
    assert [len(share) for share in shares] == [2, 3, 2]
    assert "3 of 7 pictures generated now by process 0 of 3" in capsys.readouterr().out
    assert names(together) == names(alone)
    for name in names(alone):
        assert (together / name).read_bytes() == (alone / name).read_bytes()
    for name in ("x.zip", "x.png"):
        assert main([*arguments, str(tmp_path / name)]) == 2
        assert "3 processes cannot share it" in capsys.readouterr().err


@pytest.mark.slow
def test_torchrun_fills_one_folder(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "-m", "model.training", "generate", str(folder / TINY)]
    command += ["--count", "20", "--device", "cpu", "--output", str(tmp_path / "out")]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT, timeout=TIMEOUT)
    assert len(names(tmp_path / "out")) == 21


# --- shards ---


def sharded(folder: Path, generator: str, output: Path, *options: str) -> list[str]:
    """Returns the command for 50 pictures of seeds from 100 on, 7 in a shard."""
    which = ["--count", "50", "--first-seed", "100", "--shard-size", "7", "--device", "cpu"]
    return ["generate", str(folder / generator), *which, "--shards", str(output), *options]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("generator", "options"),
    [(TINY, []), (PETS, ["--truncation", "0.5", "--scale", "2", "--resample", "learned"])],
)
def test_shards_are_a_set_of_the_pictures_and_classes_of_their_seeds(
    folder: Path, tmp_path: Path, generator: str, options: list[str]
) -> None:
    assert main(sharded(folder, generator, tmp_path / "out", *options, "--batch", "3")) == 0
    which = ["generate", str(folder / generator), "--n", "50", "--first-seed", "100"]
    to_files = ["--device", "cpu", "--output", str(tmp_path / "files")]
    assert main([*which, *to_files, *options]) == 0
    manifest = json.loads((tmp_path / "files" / "manifest.json").read_text())
    first, _ = read_shards(tmp_path / "out", "train").images[:2]
    side, _, channels = first.shape
    found = load(tmp_path / "out", "train", side=side, channels=channels)
    assert len(found) == 50
    for place, (pixels, entry) in enumerate(zip(found.images, manifest["files"], strict=True)):
        with Image.open(tmp_path / "files" / entry["file"]) as image:
            assert np.array_equal(np.asarray(image), pixels.squeeze())
        if found.labels is not None:
            assert found.classes[found.labels[place]] == entry["class"]
    assert (found.labels is None) == (generator == TINY)


@pytest.mark.parametrize("world", ["1", "2", "3"])
def test_any_number_of_processes_generates_the_same_shards(
    world: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(sharded(folder, PETS, tmp_path / "alone")) == 0
    monkeypatch.setenv("WORLD_SIZE", world)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", world)
    for rank in reversed(range(int(world))):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("LOCAL_RANK", str(rank))
        assert main(sharded(folder, PETS, tmp_path / "out", "--batch", "5")) == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "alone")


def test_shards_go_on_where_they_stopped(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(sharded(folder, TINY, tmp_path / "whole")) == 0
    left, write = [3], shard_writer._write

    def stop(*arguments: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return write(*arguments)

    monkeypatch.setattr(shard_writer, "_write", stop)
    assert main(sharded(folder, TINY, tmp_path / "out")) == 1
    left[0] = 100
    assert main(sharded(folder, TINY, tmp_path / "out")) == 0
    assert "5 of 8 shards generated now" in capsys.readouterr().out
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert main(sharded(folder, TINY, tmp_path / "out", "--truncation", "0.5")) == 2
    assert "another source or other options" in capsys.readouterr().err


@pytest.mark.slow
def test_torchrun_makes_the_shards_of_one_process(folder: Path, tmp_path: Path) -> None:
    assert main(sharded(folder, PETS, tmp_path / "one")) == 0
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "-m", "model.training"]
    command += sharded(folder, PETS, tmp_path / "two")
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT, timeout=TIMEOUT)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


BROKEN = {
    "no-output": (["TINY", "--n", "3"], "--output"),
    "no-seeds": (["TINY", "--output", "OUT"], "one of the arguments --seeds --n"),
    "seeds-and-n": (["TINY", "--seeds", "1", "--n", "2", "--output", "OUT"], "not allowed with"),
    "seeds-and-first-seed": (
        ["TINY", "--seeds", "1", "--first-seed", "2", "--output", "OUT"],
        "goes with --n",
    ),
    "seeds-text": (["TINY", "--seeds", "ada", "--output", "OUT"], "seeds such as 0-35,77"),
    "seed-too-large": (["TINY", "--seeds", str(2**63), "--output", "OUT"], "out of bounds"),
    "seed-negative": (["TINY", "--seeds=-1", "--output", "OUT"], "seeds such as 0-35,77"),
    "seeds-too-many": (["TINY", "--seeds", "0-1000000", "--output", "OUT"], "up to 1,000,000"),
    "seeds-twice": (["TINY", "--seeds", "1,1", "--output", "OUT"], "each once is wanted"),
    "seeds-twice-in-a-zip": (["TINY", "--seeds", "1,1", "--output", "X.zip"], "each once"),
    "n-zero": (["TINY", "--n", "0", "--output", "OUT"], "allowed: 1 to 1000000000000"),
    "n-too-many-files": (["TINY", "--n", "1000001", "--output", "OUT"], "--shards takes more"),
    "shards-of-a-list": (["TINY", "--seeds", "1,5", "--shards", "OUT"], "consecutive seeds"),
    "shards-and-output": (["TINY", "--n", "1", "--shards", "A", "--output", "OUT"], "neither"),
    "shards-too-many": (
        ["TINY", "--n", "60001", "--shards", "OUT", "--shard-size", "1"],
        "a larger --shard-size",
    ),
    "shard-size-alone": (["TINY", "--n", "1", "--output", "OUT", "--shard-size", "9"], "goes with"),
    "n-beyond-the-last": (
        ["TINY", "--n", "2", "--first-seed", str(2**63 - 1), "--output", "OUT"],
        "is out of bounds",
    ),
    "class-unknown": (
        ["PETS", "--n", "1", "--class", "bird", "--output", "OUT"],
        "pets has cat, dog, red panda, or by number 0 to 2",
    ),
    "class-of-none": (["TINY", "--n", "1", "--class", "0", "--output", "OUT"], "has no classes"),
    "truncation-too-large": (
        ["TINY", "--n", "1", "--truncation", "1.5", "--output", "OUT"],
        "allowed: 0 to 1",
    ),
    "edit-unknown": (["TINY", "--n", "1", "--edit", "d9:1", "--output", "OUT"], "no direction d9"),
    "edit-unread": (["TINY", "--n", "1", "--edit", "x", "--output", "OUT"], "edits such as"),
    "scale-too-large": (["TINY", "--n", "1", "--scale", "99", "--output", "OUT"], "allowed: 1 to"),
    "no-generator": (["/no/where", "--n", "1", "--output", "OUT"], "no such folder"),
    "device-unknown": (["TINY", "--n", "1", "--device", "tpu", "--output", "OUT"], "allowed: auto"),
    "ending-unknown": (["TINY", "--n", "1", "--output", "X.webp"], "a .png (one sheet), a .zip or"),
    "columns-of-a-folder": (["TINY", "--n", "1", "--columns", "2", "--output", "OUT"], "a sheet"),
    "sheet-too-large": (
        ["TINY", "--n", "100000", "--scale", "8", "--output", "X.png"],
        "allowed: up to 268,435,456",
    ),
    "sheet-is-there": (["TINY", "--n", "1", "--output", "THERE.png"], "it is there already"),
    "zip-is-there": (["TINY", "--n", "1", "--output", "THERE.zip"], "it is there already"),
    "folder-of-others": (["TINY", "--n", "1", "--output", "OTHERS"], "it holds other files"),
    "folder-of-another-order": (["TINY", "--n", "2", "--output", "ONE"], "tells of another"),
    "folder-is-a-file": (["TINY", "--n", "1", "--output", "FILE"], "cannot be used as a folder"),
    "zip-in-a-file": (["TINY", "--n", "1", "--output", "FILE/x.zip"], "cannot be written"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_mistake_is_one_clear_line(
    kind: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("THERE.png", "THERE.zip", "FILE"):
        (tmp_path / name).touch()
    (tmp_path / "OTHERS").mkdir()
    (tmp_path / "OTHERS" / "holiday.jpg").touch()
    if kind == "folder-of-another-order":
        one = ["generate", str(folder / TINY), "--n", "1", "--output", str(tmp_path / "ONE")]
        assert main([*one, "--device", "cpu"]) == 0
    arguments, reason = BROKEN[kind]
    places = {"TINY": str(folder / TINY), "PETS": str(folder / PETS)}
    typed = [places.get(text, text) for text in arguments]
    after = typed.index("--output") + 1 if "--output" in typed else None
    if after:
        typed[after] = str(tmp_path / typed[after])
    before = names(tmp_path)
    status = status_of(main, ["generate", *typed])
    error = capsys.readouterr().err
    assert status == 2
    assert reason in error
    assert "Traceback" not in error
    assert len(error.splitlines()[-1]) < 500
    assert names(tmp_path) == before


def test_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.png"

    def break_off() -> None:
        with whole(path) as temporary:
            temporary.write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        break_off()
    assert names(path.parent) == []
    write_whole(path, b"whole")
    assert path.read_bytes() == b"whole"


# a site for hosts that only serve files

ODD_NAMES = {  # and the file that each has
    "ada": "ada.png",
    "Ada Lovelace": "Ada Lovelace.png",
    "Jürgen": "Jürgen.png",
    "+491701234567": "+491701234567.png",
    "../../etc/passwd": "%2E.%2F..%2Fetc%2Fpasswd.png",
    "a/b": "a%2Fb.png",
    "100%": "100%25.png",
    "a%2Fb": "a%252Fb.png",
    ".hidden": "%2Ehidden.png",
    "con": "%63on.png",
    "NUL.txt": "%4EUL.txt.png",
    'what? "it" <is>': "what%3F %22it%22 %3Cis%3E.png",
    "#1&x=y": "#1&x=y.png",
    "index": "index.png",
    "名前": "名前.png",
    "🙂" * 100: None,
}


def make_site(folder: Path, names: str, out: Path, *more: str) -> int:
    """Runs `generate --site` with a file of these names."""
    (path := folder / "names.txt").write_bytes(names.encode())
    arguments = ["generate", str(folder / TINY), "--site", str(path), "--output", str(out)]
    return main([*arguments, "--device", "cpu", *more])


@pytest.fixture
def place(folder: Path, tmp_path: Path) -> Path:
    """Returns a folder with the generator in it."""
    shutil.copytree(folder / TINY, tmp_path / TINY)
    return tmp_path


def test_site_holds_what_the_service_sends_for_each_name(
    place: Path, service: TestClient, capsys: pytest.CaptureFixture[str]
) -> None:
    out = place / "site"
    assert (
        make_site(place, "\ufeff" + "\r\n".join([*ODD_NAMES, "", "ada"]), out, "--batch", "3") == 0
    )
    index = json.loads((out / "index.json").read_text())
    assert index["model"] == service.get("/models").json()["default"]
    assert [entry["name"] for entry in index["files"]] == [*ODD_NAMES]
    assert sorted(names(out)) == sorted(
        [*(entry["file"] for entry in index["files"]), "index.html", "index.json"]
    )
    page = (out / "index.html").read_text()
    for entry in index["files"]:
        served = service.get("/generate", params={"name": entry["name"]})
        assert (out / entry["file"]).read_bytes() == served.content
        assert entry["seed_text"] == served.headers["Image-Seed"]
        assert (out / unquote(entry["url"])).is_file()
        assert entry["file"] == (ODD_NAMES[entry["name"]] or f"seed-{entry['seed']}.png")
        assert f'src="{entry["url"]}"' in page
    assert "what? &quot;it&quot; &lt;is&gt;" in page
    assert f"16 of {len(ODD_NAMES)} pictures generated now" in capsys.readouterr().out


def test_site_has_the_looks_that_the_service_has(place: Path, service: TestClient) -> None:
    out = place / "site"
    assert make_site(place, "ada", out, "--scale", "4", "--truncation", "0.5") == 0
    served = service.get("/generate?seed=ada&scale=4&truncation=0.5").content
    assert (out / "ada.png").read_bytes() == served


def test_same_command_goes_on_with_a_site_and_adds_new_names(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = place / "site"
    assert make_site(place, "ada\nbob\n", out) == 0
    kept, whole_one = (out / "ada.png").stat().st_mtime_ns, (out / "bob.png").read_bytes()
    (out / "bob.png").unlink()
    (out / ".bob.png.1234.tmp").write_bytes(b"half")
    assert make_site(place, "bob\nada\ncem\n", out) == 0
    assert (out / "ada.png").stat().st_mtime_ns == kept
    assert (out / "bob.png").read_bytes() == whole_one
    assert "2 of 3 pictures generated now" in capsys.readouterr().out
    assert make_site(place, "cem\n", out) == 0
    assert "2 pictures of names that are no longer listed stay there" in capsys.readouterr().out
    assert names(out)[-5:] == ["ada.png", "bob.png", "cem.png", "index.html", "index.json"]
    assert make_site(place, "ada\n", out, "--scale", "2") == 2
    assert "tells of another generator or other options" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param("ada\nAda\n", "lines 1 and 2, 'ada' and 'Ada', would be one file", id="case"),
        pytest.param("straße\n\nSTRASSE", "lines 1 and 3", id="folded"),
        pytest.param("", "it holds no names", id="empty"),
        pytest.param("ada\n bob\n", "line 2: white space before or after", id="space"),
        pytest.param("a" * 257, "257 characters; allowed: 1 to 256", id="long"),
        pytest.param("ada\nb\x00b", "line 2: it has control characters", id="control"),
        pytest.param("ada\ufffd", "characters that were lost", id="lost"),
    ],
)
def test_names_that_cannot_be_files_are_refused_before_anything_is_written(
    place: Path, content: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make_site(place, content, place / "site") == 2
    assert words in capsys.readouterr().err
    assert not (place / "site").exists()


def test_site_refuses_what_is_not_a_folder_of_its_own(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "full").mkdir()
    (place / "full" / "mine.txt").write_text("mine")
    for out, more, words in [
        (place / "full", (), "it holds other files"),
        (place / "site.zip", (), "--site takes a folder"),
        (place / "site", ("--columns", "3"), "--columns is for a sheet"),
        (place / "site", ("--first-seed", "3"), "--first-seed goes with --n"),
    ]:
        assert make_site(place, "ada", out, *more) == 2
        assert words in capsys.readouterr().err
    (place / "names.txt").write_bytes(b"\xff\xfe")
    arguments = ["generate", str(place / TINY), "--site", str(place / "names.txt")]
    assert main([*arguments, "--output", str(place / "site"), "--device", "cpu"]) == 2
    assert "it is not UTF-8" in capsys.readouterr().err


def test_site_needs_no_more_than_the_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "names.txt").write_text("ada\n")
    assert main(["generate", "--site", "names.txt"]) == 0
    assert names(tmp_path / "site") == ["ada.png", "index.html", "index.json"]
    index = json.loads((tmp_path / "site" / "index.json").read_text())
    assert index["model"].startswith(f"{DEFAULT}@")
    assert main(["generate", "--seeds", "7", "mnist", "--output", "seven.png"]) == 0
    assert main(["generate", "--seeds", "7"]) == 2
