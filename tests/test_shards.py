"""Shards: the same set as in memory, whoever made them and wherever they lie."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch
from PIL import Image

from model.files import OutputError
from model.image_decoding import Fit
from model.training.__main__ import main
from model.training.commands import generator_job
from model.training.commands.arguments import ProcessRank
from model.training.commands.prepare import prepare
from model.training.datasets import shard_writer, shards
from model.training.datasets.batches import Batches
from model.training.datasets.dataset import DataError, Dataset, in_memory, load
from model.training.datasets.image_folder import ImageFolder
from model.training.datasets.order import permuted
from model.training.datasets.shards import Part, Pictures
from model.training.distributed import Ranks
from model.training.presets import PRESETS
from model.training.run.checkpoint import newest_first
from model.training.train_step import BEYOND, new_networks, train_step
from tests.conftest import write_idx
from tests.data_files import PARTS, SOURCES, numbered, write_robots
from tests.services import TIMEOUT
from tests.tiny_training import (
    TINY_MODERN,
    TINY_PRESET,
    TINY_PRESETS,
    arguments_of,
    only_run,
    tiny_main,
)

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def tiny_presets_for_one_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes back what `tiny_main` changes, as it runs in this process here."""
    monkeypatch.setattr("model.training.train_step.BEYOND", BEYOND)
    for name in TINY_PRESETS:
        monkeypatch.setitem(PRESETS, name, PRESETS[name])


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def sharded(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards") / "set"
    prepare(digits, None, side=28, shards=folder, shard_size=37)
    return folder


# --- the same set ---


@pytest.mark.parametrize("fit", ["crop", "pad"])
@pytest.mark.parametrize("kind", SOURCES)
def test_shards_are_the_pixels_labels_and_parts_of_their_source(
    tmp_path: Path, kind: str, fit: Fit
) -> None:
    build, side, channels = SOURCES[kind]
    source, output = build(tmp_path), tmp_path / "out" / "shards"
    prepare(source, None, side=side, fit=fit, shards=output, shard_size=7)
    for part in PARTS:
        before = load(source, part, side=side, channels=channels, fit=fit)
        mapped = load(output, part, side=side, channels=channels, mapped=True)
        assert isinstance(mapped.images, Pictures)
        for after in (mapped, load(output, part, side=side, channels=channels)):
            assert np.array_equal(before.images, after.images[:])
            if before.labels is None or after.labels is None:
                assert before.labels is after.labels
            else:
                assert np.array_equal(before.labels, after.labels)
            assert (before.name, before.classes) == (after.name, after.classes)
            assert before.fingerprint == after.fingerprint
            assert {*before.broken} <= {*after.broken}


def test_shards_of_layers_are_the_zip_of_them(tmp_path: Path) -> None:
    source = write_robots(tmp_path / "layers.zip")
    prepare(source, tmp_path / "set.zip", side=24, count=10, seed=3)
    prepare(source, None, side=24, count=10, seed=3, shards=tmp_path / "shards", shard_size=5)
    before, after = (
        load(tmp_path / name, "train", side=24, channels=3) for name in ("set.zip", "shards")
    )
    assert before.fingerprint == after.fingerprint


def test_pictures_are_indexed_as_an_array_is(digits: Path, sharded: Path) -> None:
    whole = load(digits, "train", side=28, channels=1).images
    mapped = load(sharded, "train", side=28, channels=1, mapped=True).images
    assert (len(mapped), mapped.shape, mapped.dtype) == (len(whole), whole.shape, whole.dtype)
    random = np.random.default_rng(0)
    keys: list[Any] = [5, -1, slice(3, 90, 7), slice(None, None, -50), random.integers(0, 320, 99)]
    keys += [np.array([], np.int64), random.random(320) < 0.1, [7, 7, -320]]
    for key in keys:
        assert np.array_equal(mapped[key], whole[key])
    assert all(np.array_equal(a, b) for a, b in zip(mapped, whole, strict=True))
    for wrong in (320, -321):
        with pytest.raises(IndexError, match="320"):
            mapped[wrong]


def test_places_of_a_part_are_those_of_its_members() -> None:
    random = np.random.default_rng(0)
    for count, share in ((1, 1.0), (511, 0.5), (512, 0.9), (5000, 0.1), (5000, 0.0), (5000, 1.0)):
        members = random.random(count) < share
        part = Part(members)
        assert np.array_equal(part.places(np.arange(len(part))), np.flatnonzero(members))


def test_measured_are_evenly_chosen_pictures_of_so_many_bytes(sharded: Path) -> None:
    mapped = load(sharded, "train", side=28, channels=1, mapped=True)
    few = in_memory(mapped, 28 * 28 * 11)
    chosen = np.linspace(0, 319, 11).astype(int)
    assert np.array_equal(few.images, mapped.images[chosen])
    assert few.labels is not None
    assert mapped.labels is not None
    assert np.array_equal(few.labels, mapped.labels[chosen])
    assert few.fingerprint != mapped.fingerprint
    assert in_memory(mapped, 28 * 28 * 320).fingerprint == mapped.fingerprint


# --- the same training ---


@pytest.mark.parametrize("order", ["table", "keyed"])
@pytest.mark.parametrize("base", [TINY_PRESET.config, TINY_MODERN.config])
def test_batches_of_shards_are_those_of_memory_to_the_bit(
    base: Any, order: Any, digits: Path, sharded: Path
) -> None:
    config = replace(base, order=order, batch=32, mirror=True)
    whole, mapped = (
        load(path, "train", side=28, channels=1, mapped=True) for path in (digits, sharded)
    )
    share = Ranks(rank=1, size=2).share(32)
    one, two = (Batches(config, data, CPU, share=share) for data in (whole, mapped))
    for step in (0, 1, 9, 10, 25, 3):
        wanted, found = one(step), two(step)
        for name in ("real", "classes", "rows", "generator_rows"):
            assert torch.equal(getattr(wanted, name), getattr(found, name))


def test_run_begun_in_memory_goes_on_from_shards_to_the_same_bytes(
    digits: Path, sharded: Path, tmp_path: Path
) -> None:
    steady = ("--cooldown", "0", "--kimg")
    for kimg in ("0.32", "0.64"):
        source = digits if kimg == "0.32" else sharded
        assert tiny_main(arguments_of("modern-32", source, tmp_path / "mixed", *steady, kimg)) == 0
    assert tiny_main(arguments_of("modern-32", digits, tmp_path / "one", *steady, "0.64")) == 0
    ends = [newest_first(only_run(tmp_path / n) / "checkpoints")[0] for n in ("mixed", "one")]
    assert ends[0].read_bytes() == ends[1].read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("order", "steps"),
    [
        ("keyed", 50),
        pytest.param("keyed", 200, marks=pytest.mark.long),
        pytest.param("table", 200, marks=pytest.mark.long),
    ],
)
def test_weights_after_many_steps_from_shards_are_those_from_memory(
    order: str,
    steps: int,
    digits: Path,
    sharded: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if order == "keyed":
        monkeypatch.setattr(generator_job, "TABLE_PICTURES", 319)
    ends = []
    for name, source in (("memory", digits), ("shards", sharded)):
        kimg = str(32 * steps / 1000)
        arguments = arguments_of("modern-32", source, tmp_path / name, "--kimg", kimg)
        assert tiny_main(arguments) == 0
        run = only_run(tmp_path / name)
        assert json.loads((run / "options.json").read_text())["config"]["order"] == order
        ends.append(newest_first(run / "checkpoints")[0])
    assert ends[0].name == ends[1].name == f"checkpoint-{32 * steps:09}.safetensors"
    assert ends[0].read_bytes() == ends[1].read_bytes()


def test_keyed_order_has_each_picture_once_and_another_order_each_time() -> None:
    for count in (1, 2, 3, 64, 1000, 65_537):
        first, second = (
            permuted(np.arange(count), count, np.random.default_rng(seed)) for seed in (0, 1)
        )
        assert np.array_equal(np.sort(first), np.arange(count))
        assert count < 1000 or (first == second).mean() < 0.01
        some = np.arange(count)[:: max(1, count // 7)]
        assert np.array_equal(permuted(some, count, np.random.default_rng(0)), first[some])


def test_keyed_order_is_the_same_for_ever() -> None:
    found = permuted(np.arange(5), 10**8, np.random.default_rng([7, 1, 0]))
    assert found.tolist() == [69135379, 45273668, 9062496, 24225483, 453498]


@pytest.mark.parametrize("began", [False, True])
def test_set_too_large_for_a_table_is_ordered_by_keys_unless_its_run_began_by_one(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, began: bool
) -> None:
    arguments = arguments_of("dcgan-mnist", digits, tmp_path, "--kimg", "0.064")
    if began:
        assert tiny_main(arguments) == 0
    monkeypatch.setattr(generator_job, "TABLE_PICTURES", 319)
    assert tiny_main(arguments) == 0
    options = json.loads((only_run(tmp_path) / "options.json").read_text())
    assert options["config"]["order"] == ("table" if began else "keyed")


# --- whoever made them ---


@pytest.mark.parametrize("world", [1, 2, 3])
def test_any_number_of_processes_makes_the_same_files(
    world: int, digits: Path, sharded: Path, tmp_path: Path
) -> None:
    for rank in range(world):
        ranks = ProcessRank(rank, world, rank, world)
        prepare(digits, None, side=28, shards=tmp_path / "set", shard_size=37, ranks=ranks)
    assert files(tmp_path / "set") == files(sharded)


def test_making_goes_on_where_it_stopped(
    digits: Path, sharded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a power cut before a shard has its name, and before what is known of it is written."""
    folder, left = tmp_path / "set", [3]
    kept = Path.replace

    def stop(self: Path, target: Path) -> Path:
        left[0] -= 1
        if not left[0]:
            (folder / ".00003.npy.0123abcd.tmp").write_bytes(b"half")
            raise KeyboardInterrupt
        return kept(self, target)

    monkeypatch.setattr(Path, "replace", stop)
    for after in (4, 3):
        left[0] = after
        with pytest.raises(KeyboardInterrupt):
            prepare(digits, None, side=28, shards=folder, shard_size=37)
        with pytest.raises(DataError, match="not all shards are there yet"):
            load(folder, "train", side=28, channels=1)
    left[0] = 1000
    lines = prepare(digits, None, side=28, shards=folder, shard_size=37)
    assert lines[0].endswith("of 16 shards made now")
    assert files(folder) == files(sharded)
    assert "0 of 16 shards" in prepare(digits, None, side=28, shards=folder, shard_size=37)[0]


@pytest.mark.slow
def test_killed_at_any_moment_making_goes_on_to_the_same_files(tmp_path: Path) -> None:
    source = write_idx(tmp_path / "digits", train=8, test=4, packed=False)
    command = [sys.executable, "-m", "tests.shard_chaos", str(source), str(tmp_path / "set")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [len(way["killed"]) > 40 for way in found] == [True, True]  # so many moments
    assert [way["broken"] for way in found] == [[], []], done.stderr


def test_folder_of_other_shards_is_refused(digits: Path, sharded: Path, tmp_path: Path) -> None:
    before = files(sharded)
    for change in ({"shard_size": 38}, {"side": 32}, {"fit": "pad"}, {"channels": 3}):
        options: dict[str, Any] = {"side": 28, "shard_size": 37} | change
        with pytest.raises(OutputError, match=r"another source or other options"):
            prepare(digits, None, shards=sharded, **options)
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(OutputError, match="other files"):
        prepare(digits, None, side=28, shards=tmp_path)
    assert files(sharded) == before


def test_too_many_broken_files_make_no_set(tmp_path: Path) -> None:
    source = numbered(tmp_path / "set", 60, lambda index: index % 5 == 0)
    with pytest.raises(DataError, match="12 picture files cannot be read"):
        prepare(source, None, side=16, shards=tmp_path / "shards", shard_size=7)
    with pytest.raises(DataError, match="not all shards are there yet"):
        load(tmp_path / "shards", "train", side=16, channels=1)


# --- what is wrong is said ---


@pytest.mark.parametrize("side", [16, 20, 33, 64, 96, 129])
def test_advice_on_shards_is_what_training_does(
    side: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = numbered(tmp_path / "set", 30)
    lines = prepare(source, None, side=side, shards=tmp_path / "shards")
    refused = [line for line in lines if line.startswith("training refuses this set")]
    arguments = ["--data", str(tmp_path / "shards"), "--outdir", str(tmp_path), "--dry-run"]
    assert main(["train", *arguments]) == (2 if refused else 0)
    said = capsys.readouterr()
    if refused:
        assert refused[0].removeprefix("training refuses this set: ") in said.err
    assert any(f", {side}x{side} RGB" in line for line in lines) == (not refused)
    assert ("--from avatars" in "".join(lines)) == (side == 64)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("data {source} --side 32", "--side goes with --output or --shards"),
        ("data {source} --channels 3", "--channels goes with --output or --shards"),
        ("data {source} --fit pad", "--fit goes with --output or --shards"),
        ("data {source} --shard-size 5", "--shard-size goes with --shards"),
        ("data {source} --output x.zip --side 32 --count 5", "--count is of layers"),
        ("data {source} --output x.zip --side 32 --seed 5", "--seed is of layers"),
        ("data {source} --seed 0", "--seed is of layers"),
        ("data {shards} --bits 12", "--bits comes too late"),
        ("data {shards} --side 28", "--side comes too late"),
        (
            "train --data {shards} --fit pad --dry-run",
            "--fit pad: these shards were made with --fit crop",
        ),
        (
            "train --data {shards} --bits 12 --dry-run",
            "--bits 12: these shards were made with --bits 16",
        ),
    ],
)
def test_option_that_could_not_count_is_refused(
    command: str, reason: str, digits: Path, sharded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command.format(source=digits, shards=sharded).split()
    assert main(words) == 2
    assert reason in capsys.readouterr().err


def test_store_whose_package_is_missing_says_which(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    assert main(["data", "gs://bucket/set"]) == 2
    error = capsys.readouterr().err
    assert "gs://bucket/set: its package is missing" in error
    assert "gcsfs" in error


def cut(folder: Path) -> None:
    os.truncate(folder / "00003.npy", 1000)


def remove(folder: Path) -> None:
    (folder / "00003.npy").unlink()


def unlabel(folder: Path) -> None:
    (folder / "labels.npy").unlink()


def unknown(folder: Path) -> None:
    index = json.loads((folder / "shards.json").read_text())
    (folder / "shards.json").write_text(json.dumps(index | {"format": "ganserve-shards-2"}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, "00003.npy: 1,000 bytes, 29,136 are wanted"),
        (remove, "00003.npy"),
        (unlabel, "labels.npy"),
        (unknown, "shards.json: format"),
    ],
)
def test_damaged_shards_are_refused(
    damage: Callable[[Path], None], message: str, sharded: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(sharded, tmp_path / "set"))
    damage(folder)
    with pytest.raises(DataError, match=message):
        load(folder, "train", side=28, channels=1, mapped=True)


def test_data_finds_a_changed_byte(
    sharded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(sharded, tmp_path / "set"))
    assert main(["data", str(folder)]) == 0
    assert "every shard has its SHA-256" in capsys.readouterr().out
    content = bytearray((folder / "00002.npy").read_bytes())
    content[-1] ^= 1
    (folder / "00002.npy").write_bytes(content)
    assert main(["data", str(folder)]) == 2
    assert "00002.npy: damaged" in capsys.readouterr().err


# --- a source that changes, and what is lost ---


def rewrite(path: Path, value: int) -> None:
    Image.new("L", (20, 20), value).save(path)


def of_numbers(source: Path, folder: Path) -> list[str]:
    return prepare(source, None, side=16, shards=folder, shard_size=4)


def half_made(source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the first two shards of three, and stops."""
    kept = ImageFolder.each

    def each(self: ImageFolder, places: Any, work: Any) -> Any:
        if isinstance(places, range) and places.start == 8:
            raise KeyboardInterrupt
        return kept(self, places, work)

    with monkeypatch.context() as patch:
        patch.setattr(ImageFolder, "each", each)
        with pytest.raises(KeyboardInterrupt):
            of_numbers(source, folder)


def zipped(folder: Path) -> Path:
    return Path(shutil.make_archive(str(folder.parent / "zipped"), "zip", folder))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("change", ["other", "renamed", "repaired", "broken"])
def test_shards_whose_files_have_changed_are_made_anew(
    change: str, packed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = numbered(tmp_path / "set", 12, lambda index: change == "repaired" and index == 1)
    first = sorted(path for path in source.rglob("*") if path.is_file())[1]
    folder = tmp_path / "shards"
    half_made(zipped(source) if packed else source, folder, monkeypatch)
    if change == "renamed":
        first.rename(first.with_name(f"{first.stem}a.png"))
    elif change == "broken":
        first.write_bytes(b"no picture")
    else:
        rewrite(first, 77)
    now = zipped(source) if packed else source
    assert "2 of 3 shards made now" in of_numbers(now, folder)[0]
    of_numbers(now, tmp_path / "fresh")
    assert files(folder) == files(tmp_path / "fresh")
    assert "0 of 3 shards made now" in of_numbers(now, folder)[0]
    changed = sorted(path for path in source.rglob("*") if path.is_file())[1]
    Image.new("RGB", (31, 17), "red").save(changed)
    if packed:
        now = zipped(source)
    before = files(folder)
    with pytest.raises(OutputError, match=r"files of its source have changed since 00000\.npy"):
        of_numbers(now, folder)
    assert files(folder) == before


def empty_piece(folder: Path) -> None:
    (folder / "00001.json").write_bytes(b"")


def cut_shard(folder: Path) -> None:
    os.truncate(folder / "00001.npy", 200)


def flip_byte(folder: Path) -> None:
    content = bytearray((folder / "00001.npy").read_bytes())
    content[-1] ^= 1
    (folder / "00001.npy").write_bytes(content)


def lose_shard(folder: Path) -> None:
    (folder / "00001.npy").unlink()


@pytest.mark.parametrize("damage", [empty_piece, cut_shard, flip_byte, lose_shard])
def test_set_is_not_completed_with_a_damaged_shard(
    damage: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = numbered(tmp_path / "set", 12, lambda _: False)
    folder = tmp_path / "shards"
    half_made(source, folder, monkeypatch)
    damage(folder)
    if damage is flip_byte:  # the others are seen before it is completed
        with pytest.raises(DataError, match=r"00001\.npy.*the same command again makes it anew"):
            of_numbers(source, folder)
    of_numbers(source, folder)
    of_numbers(source, tmp_path / "fresh")
    assert files(folder) == files(tmp_path / "fresh")


@pytest.mark.parametrize("damage", [cut_shard, lose_shard])
def test_shard_of_a_complete_set_is_made_again_alone(
    damage: Callable[[Path], None], tmp_path: Path
) -> None:
    source = numbered(tmp_path / "set", 12, lambda _: False)
    folder = tmp_path / "shards"
    of_numbers(source, folder)
    before = files(folder)
    damage(folder)
    assert "1 of 3 shards made now" in of_numbers(source, folder)[0]
    assert files(folder) == before
    damage(folder)
    index = json.loads(before["shards.json"])
    index["shards"][1]["sha256"] = "0" * 64
    (folder / "shards.json").write_text(json.dumps(index))
    with pytest.raises(OutputError, match=r"00001\.npy, made again, is another"):
        of_numbers(source, folder)


def test_data_finds_labels_and_parts_of_another_order(
    sharded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("labels.npy", "held_out.npy"):
        folder = Path(shutil.copytree(sharded, tmp_path / name))
        np.save(folder / name, np.load(folder / name)[::-1])
        assert main(["data", str(folder)]) == 2
        assert "damaged: held_out.npy or labels.npy is another" in capsys.readouterr().err


def test_shard_that_fits_into_no_memory_is_refused(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_writer, "MOST_BYTES", 28 * 28 * 100)
    with pytest.raises(OutputError, match="allowed: up to 78,400; say a smaller --shard-size"):
        prepare(digits, None, side=28, shards=tmp_path / "set", shard_size=101)
    assert not (tmp_path / "set").exists()


def lock(path: Path) -> Callable[[], object]:
    """Spoils a file without another size; returns what mends it."""
    content = path.read_bytes()
    path.write_bytes(b"\0" * len(content))
    return lambda: path.write_bytes(content)


def test_file_that_is_mended_in_place_is_taken(tmp_path: Path) -> None:
    source = numbered(tmp_path / "set", 60)
    folder = tmp_path / "shards"
    mend = [lock(path) for path in sorted(source.iterdir())[::6]]
    with pytest.raises(DataError, match="10 picture files cannot be read"):
        of_numbers(source, folder)
    for one in mend:
        one()
    assert "10 of 15 shards made now" in of_numbers(source, folder)[0]
    of_numbers(source, tmp_path / "fresh")
    assert files(folder) == files(tmp_path / "fresh")
    again = lock(source / "003.png")
    of_numbers(source, tmp_path / "other")
    again()
    with pytest.raises(OutputError, match="have changed since 00000"):
        of_numbers(source, tmp_path / "other")


def test_set_of_two_versions_of_its_source_is_not_completed(tmp_path: Path) -> None:
    source, folder = numbered(tmp_path / "set", 12), tmp_path / "shards"
    first, second = (ProcessRank(rank, 2, rank, 2) for rank in range(2))
    prepare(source, None, side=16, shards=folder, shard_size=4, ranks=first)
    rewrite(source / "001.png", 9)
    with pytest.raises(DataError, match=r"of files that have changed since; the same command"):
        prepare(source, None, side=16, shards=folder, shard_size=4, ranks=second)
    for ranks in (first, second):
        prepare(source, None, side=16, shards=folder, shard_size=4, ranks=ranks)
    of_numbers(source, tmp_path / "fresh")
    assert files(folder) == files(tmp_path / "fresh")


def test_set_that_becomes_coloured_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, folder = numbered(tmp_path / "set", 12), tmp_path / "shards"
    for path in source.iterdir():
        rewrite(path, 99)
    half_made(source, folder, monkeypatch)
    Image.new("RGB", (20, 20), "red").save(source / "011.png")
    with pytest.raises(OutputError, match=r"other options \(channels, shard_size\)|\(channels\)"):
        of_numbers(source, folder)


def test_complete_set_is_repaired_by_several_processes(tmp_path: Path) -> None:
    source, folder = numbered(tmp_path / "set", 12), tmp_path / "shards"
    of_numbers(source, folder)
    before = files(folder)
    (folder / "00001.npy").unlink()
    (folder / ".00001.npy.0123.tmp").write_bytes(b"half, by the other")
    ranks = [ProcessRank(rank, 2, rank, 2) for rank in range(2)]
    lines = prepare(source, None, side=16, shards=folder, shard_size=4, ranks=ranks[0])
    assert lines[-1] == "1 shard missing: left to the other processes"
    assert (folder / ".00001.npy.0123.tmp").exists()
    lines = prepare(source, None, side=16, shards=folder, shard_size=4, ranks=ranks[1])
    assert "1 of 3 shards made now" in lines[0]
    assert files(folder) == before


@pytest.mark.parametrize("name", ["labels.npy", "held_out.npy"])
def test_set_whose_lists_are_lost_is_made_again(name: str, digits: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    prepare(digits, None, side=28, shards=folder, shard_size=300)
    before = files(folder)
    (folder / name).write_bytes(b"")
    prepare(digits, None, side=28, shards=folder, shard_size=300)
    assert files(folder) == before


@pytest.mark.parametrize("words", [{"labels": [-1] * 37}, {"labels": [3]}, {"held_out": [10**30]}])
def test_piece_that_says_what_cannot_be_is_made_again(
    words: dict[str, Any], digits: Path, sharded: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "set"
    ranks = ProcessRank(0, 2, 0, 2)
    prepare(digits, None, side=28, shards=folder, shard_size=37, ranks=ranks)
    path = folder / "00000.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | words))
    prepare(digits, None, side=28, shards=folder, shard_size=37)
    assert files(folder) == files(sharded)


def test_names_that_are_not_utf8_are_told_of(tmp_path: Path) -> None:
    source = numbered(tmp_path / "set", 12)
    (source / os.fsdecode(b"\xff.png")).write_bytes(b"no picture")
    lines = of_numbers(source, tmp_path / "shards")
    assert any("\\udcff.png" in line for line in lines)
    for name in ("cat", os.fsdecode(b"\xfe")):
        numbered(tmp_path / "classes" / name, 12)
    with pytest.raises(DataError, match="its name is not UTF-8; rename the folder"):
        of_numbers(tmp_path / "classes", tmp_path / "other")


def test_file_that_is_no_picture_makes_no_other_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, folder = numbered(tmp_path / "set", 12), tmp_path / "shards"
    half_made(source, folder, monkeypatch)
    (source / ".DS_Store").write_bytes(b"")
    (source / "readme.txt").write_bytes(b"")
    assert "1 of 3 shards made now" in of_numbers(source, folder)[0]
    of_numbers(source, tmp_path / "fresh")
    assert files(folder) == files(tmp_path / "fresh")


# --- memory ---


def resident() -> int:
    """Returns bytes of this process in memory, mapped files among them."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_memory_does_not_grow_with_what_is_read(tmp_path: Path) -> None:
    pictures, size = 4000, 128 * 128
    np.save(tmp_path / "00000.npy", np.full((pictures, 128, 128, 1), 7, np.uint8))
    shard = shards.Shard(pictures=pictures, sha256="0" * 64, values=(7, 7))
    index = shards.Index(
        format=shards.FORMAT, name="set", side=128, channels=1, source=pictures,
        shard_size=pictures, made_by={}, shards=(shard,),
    )  # fmt: skip
    np.save(tmp_path / "held_out.npy", np.zeros(pictures, bool))
    images = shards.read_shards(tmp_path, "train", index).images
    before = resident()
    for start in range(0, pictures, 100):
        assert images[start : start + 100].max() == 7
    assert resident() - before < pictures * size / 4


@pytest.mark.parametrize("preset", ["dcgan-mnist", "modern-32", "sagan-64"])
def test_step_leaves_no_gradients(preset: str, digits: Path) -> None:
    config = TINY_PRESETS[preset].config
    networks = new_networks(config, CPU, 0)
    batches = Batches(config, load(digits, "train", side=28, channels=1), CPU)
    train_step(networks, batches(0), config, 0)
    for network in (networks.generator, networks.discriminator):
        assert all(parameter.grad is None for parameter in network.parameters())


def test_training_goes_without_pytorchs_compiler(sharded: Path, tmp_path: Path) -> None:
    code = "import sys; from tests.tiny_training import tiny_main; tiny_main(sys.argv[1:])"
    code += "; print('torch' in sys.modules, 'torch._dynamo' in sys.modules)"
    arguments = arguments_of("modern-32", sharded, tmp_path, "--kimg", "0.064")
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[-1:] == ["True False"], done.stdout + done.stderr


# --- an object store ---


@pytest.fixture
def store(sharded: Path) -> Iterator[str]:
    """Yields the same shards in fsspec's store in memory."""
    system = fsspec.filesystem("memory")
    system.put(str(sharded), "/bucket/set", recursive=True)
    yield "memory://bucket/set"
    system.rm("/bucket", recursive=True)


def test_shards_in_a_store_are_those_on_disk(
    store: str, sharded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = (load(Path(p), "train", side=28, channels=1, mapped=True) for p in (sharded, store))
    assert np.array_equal(one.images[::3], two.images[::3])
    assert main(["data", store]) == 0
    assert "every shard has its SHA-256" in capsys.readouterr().out
    ends = []
    for name, data in (("disk", str(sharded)), ("store", store)):
        assert tiny_main(arguments_of("dcgan-mnist", data, tmp_path / name, "--kimg", "0.32")) == 0
        ends.append(newest_first(only_run(tmp_path / name) / "checkpoints")[0].read_bytes())
    assert ends[0] == ends[1]


@pytest.mark.slow
def test_shards_in_s3_are_those_on_disk(
    sharded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read by a process of its own, as a person starts it; whatever this one's environment says of
    stores, and whatever file systems it has opened.
    """
    for name in os.environ:
        if name.startswith(("AWS_", "FSSPEC_")) or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    keys = {"key": "a", "secret": "b"}
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys["key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys["secret"])
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    s3fs = pytest.importorskip("s3fs")
    server.start()
    try:
        host, port = server.get_host_and_port()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        system = s3fs.S3FileSystem(**keys, skip_instance_cache=True)
        system.mkdir("bucket")
        system.put(str(sharded), "bucket/set", recursive=True)
        ends = []
        for name, data in (("disk", str(sharded)), ("s3", "s3://bucket/set")):
            arguments = arguments_of("dcgan-mnist", data, tmp_path / name, "--kimg", "0.32")
            command = [sys.executable, "-m", "tests.tiny_training", *arguments]
            subprocess.run(command, check=True, capture_output=True, timeout=TIMEOUT)
            ends.append(newest_first(only_run(tmp_path / name) / "checkpoints")[0].read_bytes())
        assert ends[0] == ends[1]
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("memory://bucket/none", "memory://bucket/none: cannot be read"),
        ("nosuch://bucket/set", "nosuch"),
        ("https://host.example/set", "is an address; download it"),
        ("s3://bucket/set.zip", "is an address; download it"),
    ],
)
def test_address_without_shards_is_refused(
    address: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) if "download" in reason else nullcontext():
        assert main(["train", "--data", address]) == 2
    assert reason in capsys.readouterr().err


def test_store_that_fails_ends_a_run_with_its_reason(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data: Dataset = load(Path(store), "train", side=28, channels=1, mapped=True)
    fsspec.filesystem("memory").rm("/bucket/set/00000.npy")
    with pytest.raises(DataError, match=r"00000\.npy and others: cannot be read"):
        data.images[:5]


def damaged_labels(folder: Path) -> str:
    labels = np.load(folder / "labels.npy")
    np.save(folder / "labels.npy", labels + 7)
    return "labels.npy has labels beyond the"


def damaged_parts(folder: Path) -> str:
    held_out = np.load(folder / "held_out.npy")
    np.save(folder / "held_out.npy", np.tile(held_out, 2))
    return "held_out.npy is not that of"


def damaged_count(folder: Path) -> str:
    index = json.loads((folder / "shards.json").read_text())
    index["shards"] = index["shards"][:-1]
    (folder / "shards.json").write_text(json.dumps(index))
    return "shards.json has"


def damaged_classes(folder: Path) -> str:
    index = json.loads((folder / "shards.json").read_text())
    index["classes"] = [index["classes"][0]] * len(index["classes"])
    (folder / "shards.json").write_text(json.dumps(index))
    return "two classes of one name"


@pytest.mark.parametrize("damage", [damaged_labels, damaged_parts, damaged_count, damaged_classes])
def test_files_that_are_not_of_one_set_are_refused(
    sharded: Path, tmp_path: Path, damage: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(sharded, tmp_path / "set"))
    message = damage(folder)
    for command in (["data", str(folder)], ["train", "--data", str(folder), "--dry-run"]):
        assert main(command) == 2
        error = capsys.readouterr().err
        assert "damaged: " in error
        assert message in error


@pytest.mark.parametrize("command", [["data", "digits"], ["generate", "mnist", "--n", "5"]])
def test_shards_are_written_to_a_folder_alone(
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main([*command, "--shards", "s3://bucket/set"])
    assert "is an address; name a folder" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
