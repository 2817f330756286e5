"""Training of upscalers: pairs, steps, measurements, commands; on layers of a few shapes."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from model.generator_file import read_generator_file
from model.metrics import is_better
from model.training import loop
from model.training.__main__ import main
from model.training.commands.prepare import prepare
from model.training.datasets.dataset import DataError, load
from model.training.discriminators.frozen_features import weights_path
from model.training.presets import Schedule
from model.training.run import checkpoint, health
from model.training.upscaling import config as upscale_config
from model.training.upscaling import quality
from model.training.upscaling.config import UPSCALE_PRESETS, UpscaleConfig
from model.training.upscaling.export import section_of
from model.training.upscaling.pairs import FRESH, WINDOW, PairBatches, Pairs
from model.training.upscaling.pictures import LayeredPictures, Pictures, open_pictures, reduced
from model.training.upscaling.quality import (
    Measure,
    enlarged_by,
    patch_judge,
    patches,
    psnr,
    upscale_by,
)
from model.training.upscaling.steps import (
    inconsistency,
    new_upscaler_networks,
    reduction,
    super_resolution_step,
)
from model.training.upscaling.task import UpscalerRun
from model.upscaling.config import UpscalerConfig
from model.upscaling.onnx_upscaler import OnnxUpscaler
from model.upscaling.pytorch import load_upscaler
from model.upscaling.upscaler_file import UPSCALER, UpscalerFile, read_upscaler
from tests.conftest import TINY, write_tiny_generator
from tests.data_files import write_layers

RGB = replace(TINY, channels=3)
CPU = torch.device("cpu")
SIDE = 64
PHASE_1 = UpscaleConfig(
    preset="upscale-4x",
    network=UpscalerConfig(width=8, layers=2),
    side=SIDE,
    batch=4,
    crop=12,
    learning_rate=3e-3,
    warm_up=40.0,
    ema_half_life=40.0,
    bf16=False,
)
PHASE_2 = replace(
    PHASE_1,
    preset="upscale-4x-gan",
    adversarial=0.05,
    burn_in=8.0,
    discriminator_width=4,
    discriminator_learning_rate=1e-3,
    gamma=1.0,
    penalty_interval=2,
    heads_learning_rate=1e-3,
    heads_gamma=1.0,
    heads_penalty_interval=2,
    consistency=1.0,
)
needs_frozen = pytest.mark.skipif(
    weights_path() is None, reason="needs the frozen features' package"
)


def shape(kind: str, place: int, colour: tuple[int, int, int]) -> Image.Image:
    image = Image.new("RGBA", (SIDE, SIDE))
    box = (4 + 6 * place, 8 + 3 * place, 30 + 6 * place, 30 + 5 * place)
    getattr(ImageDraw.Draw(image), kind)(box, fill=colour, outline=(0, 0, 0), width=2)
    return image


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns two classes of 5 x 5 and 4 x 6 stacks."""
    files = {f"round{n}.png": shape("ellipse", n, (250, 40 * n, 90)) for n in range(5)}
    files |= {f"square{n}.png": shape("rectangle", n % 5, (30, 200, 40 * n)) for n in range(6)}
    rounds, squares = [f"round{n}.png" for n in range(5)], [f"square{n}.png" for n in range(6)]
    classes = {
        "one": {"all": [{"files": rounds}, {"files": squares[:5]}]},
        "two": {"all": [{"files": rounds[:4]}, {"files": squares}]},
    }
    return write_layers(tmp_path_factory.mktemp("layers") / "toys.zip", files, classes)


@pytest.fixture(scope="module")
def pictures(layers: Path) -> Pictures:
    return open_pictures(layers)


def folder_of(
    folder: Path, count: int, mode: str = "RGB", size: tuple[int, int] = (80, 72)
) -> Path:
    folder.mkdir()
    for index in range(count):
        image = Image.new(mode, size, "white")
        ImageDraw.Draw(image).ellipse((5, 5, 30 + index, 40), fill="black")
        image.save(folder / f"{index:02d}.png")
    return folder


# --- pictures ---


def test_layers_drawn_on_the_fly_are_the_pictures_that_data_writes(
    layers: Path, pictures: Pictures, tmp_path: Path
) -> None:
    prepare(layers, tmp_path / "all.zip", side=SIDE, count=100)
    written = load(tmp_path / "all.zip", "all", side=SIDE, channels=3).images
    assert len(written) == 5 * 5 + 4 * 6
    known = {picture.tobytes() for picture in written}
    random = np.random.default_rng(3)
    drawn = {pictures.draw(random).tobytes() for _ in range(300)}
    held_out = {picture.tobytes() for picture in pictures.held_out(1000)}
    assert drawn <= known
    assert held_out <= known
    assert len(drawn) > 15  # some stacks look alike


def test_held_out_stacks_are_never_drawn(pictures: Pictures) -> None:
    assert isinstance(pictures, LayeredPictures)
    assert len(pictures.held_out(1000)) == 5 + 4
    assert pictures.count == 25 + 24 - 9
    random = np.random.default_rng(0)
    assert not {pictures._stack(random) for _ in range(500)} & set(pictures._held_out)


def test_held_out_pictures_alternate_between_classes(pictures: Pictures) -> None:
    assert isinstance(pictures, LayeredPictures)
    assert np.array_equal(pictures.held_out(3), pictures.held_out(9)[:3])


def test_small_pictures_among_larger_ones_are_left_out(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "set", 20)
    Image.new("RGB", (40, 40)).save(folder / "small.png")
    found = open_pictures(folder)
    assert (found.side, found.channels) == (64, 3)
    assert found.count + len(found.held_out(1000)) == 20
    assert "left out, being smaller than 64x64: 1 pictures" in found.notes


def test_side_is_that_which_nine_in_ten_pictures_reach(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "set", 18, size=(200, 200))
    for index in range(5):
        Image.new("RGB", (100, 120)).save(folder / f"middle{index}.png")
    assert open_pictures(folder).side == 96  # a multiple of 16, and nothing is enlarged


@pytest.mark.parametrize(
    ("size", "message"),
    [
        pytest.param((63, 80), "63 pixels on the smaller side", id="too-small"),
        pytest.param(None, "neither idx files", id="empty"),
    ],
)
def test_pictures_that_teach_nothing_are_refused(
    tmp_path: Path, size: tuple[int, int] | None, message: str
) -> None:
    folder = folder_of(tmp_path / "set", 12 if size else 0, size=size or (80, 80))
    with pytest.raises(DataError, match=message):
        open_pictures(folder)


def test_official_sets_are_too_small(digits: Path) -> None:
    with pytest.raises(DataError, match="28 pixels on the smaller side; an upscaler learns from"):
        open_pictures(digits)


# --- pairs ---


def same(one: Pairs, other: Pairs) -> bool:
    tensors = [(one.small, other.small), (one.clean, other.clean), (one.generated, other.generated)]
    tensors += [(one.large[scale], other.large[scale]) for scale in one.large]
    return all(torch.equal(a, b) for a, b in tensors)


def test_pairs_are_a_function_of_seed_and_step(pictures: Pictures) -> None:
    unbroken = PairBatches(PHASE_1, pictures, CPU)
    dealt = [unbroken(step) for step in range(4)]
    resumed = PairBatches(PHASE_1, pictures, CPU)
    assert same(resumed(3), dealt[3])
    assert not same(dealt[2], dealt[3])
    assert not same(PairBatches(replace(PHASE_1, seed=1), pictures, CPU)(3), dealt[3])
    assert not same(PairBatches(PHASE_1, pictures, CPU, attempt=1)(3), dealt[3])


def test_shares_together_are_the_batch(pictures: Pictures) -> None:
    generated = np.random.default_rng(0).integers(0, 256, (9, 16, 16, 3), np.uint8)
    whole = PairBatches(PHASE_2, pictures, CPU, generated=generated)(5)
    parts = [
        PairBatches(PHASE_2, pictures, CPU, share=share, generated=generated)(5)
        for share in (slice(0, 2), slice(2, 4))
    ]
    for name in ("small", "clean", "generated"):
        assert torch.equal(getattr(whole, name), torch.cat([getattr(p, name) for p in parts]))
    for scale, large in whole.large.items():
        assert torch.equal(large, torch.cat([part.large[scale] for part in parts]))
    assert len(whole.generated) == 2


def test_small_side_is_the_large_one_reduced_as_data_reduces(pictures: Pictures) -> None:
    plain = replace(PHASE_1, crop=16, degraded=0.0)  # whole pictures
    pairs = PairBatches(plain, pictures, CPU)(0)
    assert pairs.clean.all()
    for small, half, large in zip(pairs.small, pairs.large[2], pairs.large[4], strict=True):
        pixels = ((large.permute(1, 2, 0) + 1) * 127.5).round().numpy().astype(np.uint8)
        for level, side in ((small, 16), (half, 32)):
            found = ((level.permute(1, 2, 0) + 1) * 127.5).round().numpy()
            assert np.array_equal(found, reduced(pixels, side))


def test_a_share_of_the_inputs_is_degraded_and_no_truth(pictures: Pictures) -> None:
    plain, worse = (
        PairBatches(replace(PHASE_1, batch=32, degraded=share), pictures, CPU)(0)
        for share in (0.0, 0.5)
    )
    assert 4 < int((~worse.clean).sum()) < 28
    assert torch.equal(plain.small[worse.clean], worse.small[worse.clean])
    difference = (plain.small - worse.small)[~worse.clean].abs()
    assert 0 < difference.mean() < 0.1
    assert torch.equal(plain.large[4], worse.large[4])


def test_window_moves_by_few_pictures_a_step(pictures: Pictures) -> None:
    drawn: list[int] = []

    class Counted(LayeredPictures):
        def draw(self, random: np.random.Generator) -> np.ndarray:
            drawn.append(0)
            return super().draw(random)

    assert isinstance(pictures, LayeredPictures)
    counted = object.__new__(Counted)
    counted.__dict__ = pictures.__dict__
    batches = PairBatches(PHASE_1, counted, CPU)
    for step in range(3):
        batches(step)
    assert len(drawn) == WINDOW + 2 * FRESH


# --- steps ---


def test_reduction_is_pillows_filter() -> None:
    picture = np.random.default_rng(0).integers(80, 176, (48, 48, 1), np.uint8)
    for scale in (2, 4):
        matrix = reduction(48 // scale, scale)
        by_matrix = (
            matrix @ torch.from_numpy(picture[..., 0].astype(np.float32)) @ matrix.T
        ).numpy()
        by_pillow = reduced(picture, 48 // scale)[..., 0]
        assert np.abs(by_matrix - by_pillow).max() < 1.2  # it rounds in between, and again


def test_inconsistency_is_that_of_rounding_for_true_pairs_and_large_for_others(
    pictures: Pictures,
) -> None:
    pairs = PairBatches(replace(PHASE_1, degraded=0.0), pictures, CPU)(0)
    true = inconsistency(pairs.large[4], pairs.small, 4)
    false = inconsistency(pairs.large[4].roll(1, 0), pairs.small, 4)
    assert true < 1e-4 < 1e-2 < false


@needs_frozen
def test_gradients_reach_both_networks(pictures: Pictures) -> None:
    generated = np.random.default_rng(0).integers(0, 256, (9, 16, 16, 3), np.uint8)
    batches = PairBatches(PHASE_2, pictures, CPU, generated=generated)
    networks = new_upscaler_networks(PHASE_2, CPU, 0)
    before = {name: value.clone() for name, value in networks.tensors().items()}
    for step in range(3):  # the heads start at zero: what is below them moves from the second on
        stats = super_resolution_step(networks, batches(step), PHASE_2, step, 1.0)
    assert {
        "loss_2x",
        "loss_4x",
        "loss_g",
        "loss_d",
        "loss_h",
        "penalty",
        "loss_back",
    } <= stats.keys()
    moved = {
        name
        for name, value in networks.tensors().items()
        if name in before and not torch.equal(value, before[name])
    }
    learning = {
        name for name in before if name.startswith(("generator.", "discriminator.", "heads."))
    }
    # what is added to the logits of both of a pair says nothing: only rounding would move it
    learning -= {name for name in before if name.endswith(("logit.bias", "layers.8.bias"))}
    assert learning <= moved
    assert not any(name.startswith("average.") for name in moved)  # that is the loop's


def test_generators_pictures_are_held_to_themselves_alone(pictures: Pictures) -> None:
    """Without a discriminator and a weight of consistency they change nothing."""
    generated = np.random.default_rng(0).integers(0, 256, (9, 16, 16, 3), np.uint8)
    ends = []
    for more in (None, generated):
        networks = new_upscaler_networks(PHASE_1, CPU, 0)
        batches = PairBatches(PHASE_1, pictures, CPU, generated=more)
        for step in range(2):
            super_resolution_step(networks, batches(step), PHASE_1, step, 1.0)
        ends.append(networks.generator.state_dict())
    for name, value in ends[0].items():
        assert torch.allclose(value, ends[1][name], atol=1e-6)


# --- measurements ---


def test_psnr_equals_its_definition_and_is_at_most_that_of_rounding() -> None:
    one = np.zeros((2, 4, 4, 3), np.uint8)
    other = one.copy()
    other[1] += 10
    assert psnr(one, other) == pytest.approx([10 * np.log10(255**2 * 12), 20 * np.log10(25.5)])


def test_measure_of_a_perfect_upscaler_is_perfect_and_baselines_are_not(
    pictures: Pictures,
) -> None:
    held_out = pictures.held_out(4)
    truth = {reduced(real, 16).tobytes(): real for real in held_out}

    def perfect(small: np.ndarray, scale: int) -> np.ndarray:
        real = truth[small[0].tobytes()]
        return (real if scale == 4 else reduced(real, 32))[None]

    found = Measure(held_out, (2, 4))(perfect)
    assert next(iter(found)) == "psnr_4x_test4"
    assert found["psnr_4x_test4"] == found["psnr_2x_test4"] == pytest.approx(58.92, abs=0.01)
    for method in ("nearest", "bicubic", "lanczos"):
        assert 10 < found[f"psnr_4x_{method}_test4"] < found[f"psnr_2x_{method}_test4"] < 40


def test_consistency_is_measured_with_a_generators_pictures(pictures: Pictures) -> None:
    small = np.stack([reduced(one, 16) for one in pictures.held_out(4)])
    measure = Measure(pictures.held_out(4), (2, 4), generated=small, generator="toys")
    found = measure(lambda one, scale: enlarged_by("nearest", one[0], scale)[None])
    assert 20 < found["consistency_4x4_toys"] < 58


def test_frechet_distance_of_the_truth_is_none_and_it_chooses_the_best_of_phase_2(
    pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quality, "JUDGE_PATCHES", 40)
    held_out = pictures.held_out(4)
    truth = {reduced(real, 16).tobytes(): real for real in held_out}
    judge = patch_judge(pictures, tmp_path, CPU, print, "")
    measure = Measure(held_out, (4,), judge, frechet_first=True)
    found = measure(lambda small, scale: truth[small[0].tobytes()][None])
    first, *_ = found
    assert first == f"frechet_4x_test4_{judge.name}"
    assert found[first] < 0.01 < found[first.replace("4x_", "4x_nearest_")]
    again = patch_judge(pictures, tmp_path, CPU, print, "")  # kept
    assert again.name == judge.name
    assert len(list((tmp_path / "classifiers").iterdir())) == 1


@pytest.mark.parametrize(("side", "count"), [(64, 1), (80, 4), (128, 4), (256, 16)])
def test_patches_cover_every_pixel(side: int, count: int) -> None:
    places = np.arange(side * side, dtype=np.int64).reshape(1, side, side, 1)
    found = patches(places)  # type: ignore[arg-type]
    assert found.shape == (count, 64, 64, 1)
    assert len(np.unique(found)) == side * side


def test_of_some_metrics_more_is_better() -> None:
    assert is_better("psnr_4x_test200", 30.0, 29.0)
    assert not is_better("frechet5k_test10k_x", 30.0, 29.0)
    rising = [{"images_seen": n, "psnr_4x": 20.0 + n} for n in range(20)]
    assert health.stuck(rising, "psnr_4x") == {}
    falling = [{"images_seen": n, "psnr_4x": 20.0 - n} for n in range(health.STUCK + 1)]
    assert "not better for 10 images" in health.stuck(falling, "psnr_4x")["stuck"]


# --- the loop ---


def make_run(
    folder: Path, pictures: Pictures, config: UpscaleConfig, **changes: object
) -> UpscalerRun:
    folder.mkdir(exist_ok=True)
    fields = {
        "config": config,
        "schedule": Schedule(images=48, log_steps=2, grid_steps=6, snapshot_images=24),
        "folder": folder,
        "device": CPU,
        "pictures": pictures,
        "measure": Measure(pictures.held_out(4), (2, 4)),
    }
    return UpscalerRun(**(fields | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "config", [PHASE_1, pytest.param(PHASE_2, marks=needs_frozen)], ids=["phase-1", "phase-2"]
)
def test_resumed_run_equals_unbroken_run(
    pictures: Pictures, tmp_path: Path, config: UpscaleConfig
) -> None:
    config = replace(config, cooldown=0.5)
    unbroken = make_run(tmp_path / "unbroken", pictures, config)
    assert loop.train(unbroken, lambda: False)
    broken = make_run(tmp_path / "broken", pictures, config)
    asked = iter([False] * 4 + [True] + [False] * 99)
    assert not loop.train(broken, lambda: next(asked))
    assert loop.train(broken, lambda: False)
    ends = [checkpoint.newest_first(run.folder / "checkpoints")[0] for run in (unbroken, broken)]
    assert ends[0].read_bytes() == ends[1].read_bytes()
    for which in ("best", "last"):
        files = [run.folder / which / UPSCALER for run in (unbroken, broken)]
        assert files[0].read_bytes() == files[1].read_bytes()
    assert (unbroken.folder / "grids" / "average-000000048.png").is_file()


def test_run_learns_to_enlarge_better_than_it_began(pictures: Pictures, tmp_path: Path) -> None:
    schedule = Schedule(images=600, snapshot_images=600, grid_steps=10**6)
    wider = replace(PHASE_1, learning_rate=5e-3, network=UpscalerConfig(width=16, layers=2))
    run = make_run(tmp_path / "run", pictures, wider, schedule=schedule)
    assert loop.train(run, lambda: False)
    metrics = read_upscaler(run.folder / "best" / UPSCALER).header.metrics
    assert metrics["psnr_4x_test4"] > metrics["psnr_4x_nearest_test4"] + 0.5
    assert metrics["psnr_2x_test4"] > metrics["psnr_2x_nearest_test4"] + 0.5


def test_run_starts_from_an_upscaler(trained: Path, pictures: Pictures, tmp_path: Path) -> None:
    start = read_upscaler(trained / "best" / UPSCALER)
    run = make_run(tmp_path / "run", pictures, PHASE_2, start=start)
    task = run.task()
    (note,) = task.begin()
    assert start.hash in note
    for network in (task.networks.generator, task.networks.generator_ema):
        for name, value in network.state_dict().items():
            assert np.array_equal(value.numpy(), start.weights[name])


# --- the commands ---


@pytest.fixture(scope="module", autouse=True)
def tiny_presets() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for config in (PHASE_1, PHASE_2):
            preset = replace(UPSCALE_PRESETS[config.preset], config=config, kimg=1)
            patch.setitem(upscale_config.UPSCALE_PRESETS, config.preset, preset)
        yield


@pytest.fixture(scope="module")
def trained(layers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    outdir = tmp_path_factory.mktemp("runs")
    arguments = ["train", "--preset", "upscale-4x", "--data", str(layers), "--kimg", "0.08"]
    assert main([*arguments, "--outdir", str(outdir), "--device", "cpu"]) == 0
    (run,) = outdir.glob("0*")
    return run


@pytest.fixture(scope="module")
def file(trained: Path) -> UpscalerFile:
    return read_upscaler(trained / "best" / UPSCALER)


def test_run_has_what_any_run_has(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    assert {"best", "last", "log.txt", "stats.jsonl", "metrics.jsonl", "options.json"} <= names
    assert {"losses.png", "metrics.png", "reals.png", "report.html", "checkpoints"} <= names
    page = (trained / "report.html").read_text()
    assert "Held-out pictures at 4x" in page
    assert "psnr_4x_lanczos_test9" in page


def test_onnx_equals_torch_to_rounding(file: UpscalerFile, pictures: Pictures) -> None:
    small = np.stack([reduced(one, 16) for one in pictures.held_out(3)])
    by_torch, by_onnx = upscale_by(load_upscaler(file), CPU), OnnxUpscaler(file)
    for scale in file.scales:
        found = by_onnx(small, scale).astype(int)
        assert np.abs(found - by_torch(small, scale)).max() <= 1
        assert (found != enlarged_by("nearest", small[0], scale)).any()


def test_evaluate_prints_what_the_snapshot_measured(
    trained: Path, layers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["evaluate", str(trained / "best"), "--data", str(layers), "--features", "none"]) == 0
    )
    found = json.loads(capsys.readouterr().out)
    snapshot = read_upscaler(trained / "best" / UPSCALER).header.metrics
    assert found.keys() == snapshot.keys()
    for name, value in found.items():
        assert value == pytest.approx(snapshot[name], abs=0.05)  # in half precision


def test_export_writes_the_upscaler_alone_with_a_card(trained: Path, tmp_path: Path) -> None:
    output = tmp_path / "mine"
    arguments = ["export", str(trained), "--features", "none", "--licence", "cc-by-4.0"]
    assert main([*arguments, "--output", str(output)]) == 0
    assert {path.name for path in output.iterdir()} == {UPSCALER, "README.md"}
    file = read_upscaler(output / UPSCALER)
    assert file.header.licence == "cc-by-4.0"
    card = (output / "README.md").read_text()
    assert file.sha256 in card
    assert "license: cc-by-4.0" in card
    assert f"`psnr_4x_test9` | {file.header.metrics['psnr_4x_test9']:g}" in card
    (output / "mine.txt").write_text("kept")
    assert main([*arguments, "--output", str(output)]) == 2
    assert main([*arguments, "--output", str(output), "--force"]) == 0
    assert (output / "mine.txt").read_text() == "kept"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("notes.txt", "holds files, but no upscaler", id="files"),
        pytest.param("config.json", "is a generator's folder; --into adds", id="generator"),
    ],
)
def test_export_replaces_no_folder_of_something_else(
    trained: Path, tmp_path: Path, name: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text("mine")
    arguments = ["export", str(trained), "--features", "none", "--output", str(tmp_path)]
    assert main([*arguments, "--force"]) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_export_makes_integers_of_generators_alone(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "integers"
    assert main(["export", str(trained), "--output", str(output), "--precision", "int8"]) == 2
    assert "--precision int8 is for generators" in capsys.readouterr().err
    assert not output.exists()


def test_export_into_a_generator_leaves_what_it_was(trained: Path, tmp_path: Path) -> None:
    generator = write_tiny_generator(tmp_path / "pets", RGB)
    before, bytes_before = (
        read_generator_file(generator).config,
        (generator / "model.safetensors").read_bytes(),
    )
    arguments = ["export", str(trained), "--into", str(generator), "--features", "none"]
    for _ in range(2):  # again: in the place of the earlier one
        assert main(arguments) == 0
    after = read_generator_file(generator)
    assert after.upscaler is not None
    assert after.config.upscaler == after.upscaler.sha256
    assert (
        after.config.model_copy(update={"upscaler": None, "config_sha256": before.config_sha256})
        == before
    )
    assert after.config.id == before.id
    assert (generator / "model.safetensors").read_bytes() == bytes_before
    card = (generator / "README.md").read_text()
    assert card.count("## Upscaler") == 1
    assert after.upscaler.sha256 in section_of(generator)


def test_export_refuses_a_generator_of_other_channels(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = write_tiny_generator(tmp_path / "grey")
    arguments = ["export", str(trained), "--into", str(generator), "--features", "none"]
    assert main(arguments) == 2
    assert "1 channels; the upscaler is for 3" in capsys.readouterr().err
    assert not (generator / UPSCALER).exists()


def test_phase_2_goes_on_from_phase_1_with_a_generators_pictures(
    trained: Path, layers: Path, tmp_path: Path
) -> None:
    generator = write_tiny_generator(tmp_path / "pets", RGB)
    arguments = ["train", "--preset", "upscale-4x-gan", "--data", str(layers), "--kimg", "0.016"]
    arguments += ["--from", str(trained), "--generator", str(generator), "--outdir", str(tmp_path)]
    assert main([*arguments, "--features", "none", "--device", "cpu"]) == 0
    (run,) = tmp_path.glob("0*gan*")
    record = json.loads((run / "options.json").read_text())
    assert record["start"] == read_upscaler(trained / "best" / UPSCALER).hash
    assert record["config"]["generator"] == read_generator_file(generator).config.id
    assert "loss_back" in (run / "stats.jsonl").read_text()


def test_grey_pictures_make_a_grey_upscaler(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "grey", 12, mode="L")
    arguments = ["train", "--preset", "upscale-4x", "--data", str(folder), "--kimg", "0.008"]
    assert main([*arguments, "--outdir", str(tmp_path), "--device", "cpu"]) == 0
    (run,) = tmp_path.glob("0*")
    assert read_upscaler(run / "best" / UPSCALER).header.network.channels == 1


def training(layers: Path, outdir: Path) -> list[str]:
    """Returns the arguments of the command that trains an upscaler."""
    return ["train", "--preset", "upscale-4x", "--data", str(layers), "--outdir", str(outdir)]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        pytest.param(
            ["--prior", "normal"], "--prior is no option of preset upscale-4x", id="prior"
        ),
        pytest.param(["--augment", "0.3"], "--augment is no option", id="augment"),
        pytest.param(["--epochs", "2"], "--epochs is no option", id="epochs"),
        pytest.param(["--unconditional"], "--unconditional is no option", id="unconditional"),
        pytest.param(["--gamma", "2"], "--gamma is no option of preset upscale-4x", id="gamma"),
        pytest.param(["--generator", "avatars"], "--generator is no option", id="generator"),
        pytest.param(["--features", "inception"], "--features is inception", id="features"),
        pytest.param(["--figure-images", "1001"], "up to 1000", id="figure-images"),
        pytest.param(["--preset", "upscale-4x-gan"], "say --from with its run", id="phase-2-alone"),
        pytest.param(
            ["--preset", "dcgan-mnist", "--generator", "avatars"],
            "--generator is for upscalers",
            id="of-a-generator",
        ),
    ],
)
def test_options_that_say_nothing_are_refused(
    layers: Path, tmp_path: Path, more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*training(layers, tmp_path), *more]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_dry_run_writes_nothing(
    layers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*training(layers, tmp_path), "--dry-run"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["config"]["network"]["family"] == "upscaler"
    assert found["data"]["images"] == 40
    assert not list(tmp_path.iterdir())


def test_upscaler_of_other_channels_is_no_start(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_of(tmp_path / "grey", 12, mode="L")
    arguments = [
        "train",
        "--preset",
        "upscale-4x-gan",
        "--data",
        str(folder),
        "--from",
        str(trained),
    ]
    assert main([*arguments, "--outdir", str(tmp_path / "runs")]) == 2
    assert "for pictures of 3 channels; these have 1" in capsys.readouterr().err


def test_export_of_a_generator_keeps_the_upscaler_beside_it(trained: Path, tmp_path: Path) -> None:
    """What is exported anew into the same folder is a generator of the same pictures."""
    generator = write_tiny_generator(tmp_path / "pets", RGB)
    assert main(["export", str(trained), "--into", str(generator), "--features", "none"]) == 0
    before = section_of(generator)
    run = tmp_path / "run"
    shutil.copytree(write_tiny_generator(tmp_path / "new", RGB), run / "last")
    record = {"command": "train", "device": "cpu", "torch": "2", "config": {"game": "article"}}
    (run / "options.json").write_text(json.dumps(record))
    arguments = ["export", str(run), "--which", "last", "--output", str(generator), "--force"]
    assert main([*arguments, "--features", "none", "--device", "cpu"]) == 0
    assert read_generator_file(generator).upscaler is not None
    assert section_of(generator) == before
