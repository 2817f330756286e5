"""Runs that start from a model folder, and the discriminator that is kept beside it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from model.generator_file import (
    DISCRIMINATOR,
    FILES,
    GeneratorFileError,
    read_generator_file,
)
from model.networks.families.modulated import ModulatedConfig
from model.networks.families.residual import ResidualConfig
from model.networks.pytorch import new_discriminator
from model.pretrained import PretrainedGenerator
from model.training.__main__ import main
from model.training.class_columns import with_comparisons
from model.training.discriminators.discriminator_file import read_discriminator, write_discriminator
from model.training.discriminators.projected import Heads
from model.training.presets import PRESETS, TrainConfig
from model.training.run import checkpoint
from model.training.run.run_log import RunLog
from model.training.start import Start, begin, check_agrees, read_start, suited
from model.training.train_step import Networks, new_networks
from tests.conftest import CLASSES, edit_json, write_tiny_generator, write_tiny_residual
from tests.tiny_training import TINY_PRESETS

CPU = torch.device("cpu")
NETWORK = ModulatedConfig(
    z_dim=8, classes=3, resolution=32, width=16, discriminator_width=16, code_dim=8
)
CONFIG = replace(
    PRESETS["modern-32"].config, network=NETWORK, batch=8, bf16=False, frozen_features=False
)
IMAGES = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
ROWS = torch.randn(4, 11, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a run folder after no step, whose generator has a checkpoint of its moment."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    write_tiny_residual(folder / "best", NETWORK)
    file = read_generator_file(folder / "best")
    networks = new_networks(replace(CONFIG, frozen_features=True), CPU, 1)
    weights = {name: torch.from_numpy(value) for name, value in file.weights.items()}
    networks.generator_ema.load_state_dict(networks.generator_ema.state_dict() | weights)
    state = {"images_seen": 0, "best": None, "attempt": 0}
    saved = checkpoint.Checkpoint(networks.tensors(), state)
    checkpoint.write_checkpoint(folder / "checkpoints", saved)
    return folder


@pytest.fixture
def pets(run: Path, tmp_path: Path) -> Path:
    """Returns a model folder with its discriminator."""
    folder = write_tiny_residual(tmp_path / "pets", NETWORK)
    said = write_discriminator(run, "modern", read_generator_file(folder), folder)
    assert said == "with its discriminator, discriminator.safetensors"
    return folder


def started(start: Start, classes: tuple[str, ...], *, heads: bool = False) -> Networks:
    network = replace(NETWORK, classes=len(classes))
    config = replace(CONFIG, network=network, frozen_features=heads)
    networks = new_networks(config, CPU, 7, IMAGES)
    begin(networks, start, classes)
    return networks


def hot(*places: int, count: int = 3) -> torch.Tensor:
    return torch.eye(count)[list(places)]


# --- the file of the discriminator ---


def test_file_holds_discriminator_and_heads_of_the_generators_moment(run: Path, pets: Path) -> None:
    file = read_generator_file(pets)
    found = read_discriminator(pets, file.config)
    assert found is not None
    assert found.header.generator_sha256 == file.config.weights_sha256
    assert (found.header.objective, found.header.frozen_features) == ("modern", True)
    (path,) = checkpoint.newest_first(run / "checkpoints")
    tensors = checkpoint.read_checkpoint(path).tensors
    names = {name for name in tensors if name.split(".")[0] in ("discriminator", "heads")}
    assert found.tensors.keys() == names
    for name, value in found.tensors.items():
        assert torch.equal(value, tensors[name].half().float())


def test_discriminator_of_another_moment_is_not_written(run: Path, pets: Path) -> None:
    file = read_generator_file(pets)
    later = replace(file, config=file.config.model_copy(update={"images_seen": 20}))
    said = write_discriminator(run, "modern", later, pets / "later")
    assert "checkpoint-000000020.safetensors is not kept any more" in said
    weights = {name: value + 1 for name, value in file.weights.items()}
    said = write_discriminator(run, "modern", replace(file, tensors=weights), pets / "other")
    assert said.endswith("holds another generator")
    dcgan = read_generator_file(write_tiny_generator(pets.parent / "tiny"))
    assert "family dcgan" in write_discriminator(run, "article", dcgan, pets / "tiny")
    assert not {"later", "other", "tiny"} & {path.name for path in pets.iterdir()}


def spoil(path: Path, how: str) -> None:
    content = path.read_bytes()
    tensors = load_file(path)
    size = int.from_bytes(content[:8], "little")
    header = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["discriminator"])
    name = "discriminator.picture.bias"
    if how == "cut":
        path.write_bytes(content[:-100])
    elif how == "flipped":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "headless":
        save_file(tensors, path)
    else:
        if how == "missing":
            del tensors[name]
        elif how == "shape":
            tensors[name] = tensors[name][:-1].clone()
        elif how == "infinite":
            tensors[name][0] = float("inf")
        elif how == "field":
            header["images_seen"] = -1
        header["tensors_sha256"] = checkpoint.digest(tensors)
        save_file(tensors, path, {"discriminator": json.dumps(header)})


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("cut", "damaged or no discriminator"),
        ("flipped", "do not match their hash"),
        ("empty", "damaged or no discriminator"),
        ("headless", "damaged or no discriminator"),
        ("missing", r"discriminator\.picture\.bias is missing"),
        ("shape", r"discriminator\.picture\.bias is \("),
        ("infinite", "not finite"),
        ("field", "images_seen: Input should be greater"),
    ],
)
def test_damaged_discriminator_is_one_line(pets: Path, how: str, said: str) -> None:
    spoil(pets / DISCRIMINATOR, how)
    with pytest.raises(GeneratorFileError, match=said) as caught:
        read_start(str(pets))
    assert "\n" not in str(caught.value)


def test_discriminator_of_another_generator_is_refused(pets: Path, tmp_path: Path) -> None:
    other = write_tiny_residual(tmp_path / "other", replace(NETWORK, code_dim=16))
    (other / DISCRIMINATOR).write_bytes((pets / DISCRIMINATOR).read_bytes())
    with pytest.raises(GeneratorFileError, match="of another generator"):
        read_start(str(other))


# --- the start ---


@pytest.mark.parametrize("heads", [False, True])
def test_players_start_with_the_weights_of_the_file(pets: Path, heads: bool) -> None:
    start = read_start(str(pets))
    networks = started(start, CLASSES, heads=heads)
    for network in (networks.generator, networks.generator_ema):
        state = network.state_dict()
        for name, value in start.file.weights.items():
            assert np.array_equal(state[name].numpy(), value), name
    assert start.discriminator is not None
    for prefix in ("discriminator", *(["heads"] if heads else [])):
        state = networks.modules()[prefix].state_dict()
        for name, tensor in checkpoint.unpack(prefix, start.discriminator.tensors).items():
            assert torch.equal(state[name], tensor), name
    assert all(not optimizer.state for optimizer in networks.optimizers().values())


def test_classes_keep_what_they_were_by_name_and_new_ones_are_the_mean(pets: Path) -> None:
    start = read_start(str(pets))
    before = started(start, CLASSES)
    after = started(start, ("red panda", "fox", "cat"))
    z = ROWS[:, :8]
    third = torch.full((4, 3), 1 / 3)
    for place, was in ((0, hot(2).expand(4, 3)), (2, hot(0).expand(4, 3)), (1, third)):
        now = hot(place).expand(4, 3)
        ours, theirs = after.generator.eval(), before.generator.eval()
        assert torch.allclose(
            ours(torch.cat([z, now], 1)), theirs(torch.cat([z, was], 1)), atol=1e-5
        )
        found = after.discriminator(IMAGES, now)
        assert torch.allclose(found, before.discriminator(IMAGES, was), atol=1e-4)


def test_unconditional_from_conditional_is_the_mean_class(pets: Path) -> None:
    start = read_start(str(pets))
    before, after = started(start, CLASSES), started(start, ())
    third = torch.full((4, 3), 1 / 3)
    rows = torch.cat([ROWS[:, :8], third], 1)
    found = after.generator.eval()(ROWS[:, :8])
    assert torch.allclose(found, before.generator.eval()(rows), atol=1e-5)
    logits = after.discriminator(IMAGES, torch.zeros(4, 0))
    assert torch.allclose(logits, before.discriminator(IMAGES, third), atol=1e-4)


def test_conditional_from_unconditional_starts_with_one_logit_and_can_tell_classes() -> None:
    network = replace(NETWORK, classes=0)
    single, several = new_discriminator(network), new_discriminator(NETWORK)
    tensors = with_comparisons(single.state_dict(), several.state_dict(), (), CLASSES)
    several.load_state_dict(tensors)
    logits = several(IMAGES[:3], hot(0, 1, 2))
    assert torch.allclose(logits, single(IMAGES[:3], torch.zeros(3, 0)), atol=1e-5)
    logits.sum().backward()
    gradient = several.get_parameter("logit.weight").grad
    assert gradient is not None
    assert gradient[1:].abs().min(1).values.max() > 0


@pytest.mark.parametrize(
    ("names", "classes"), [(CLASSES, ()), ((), CLASSES), (CLASSES, ("dog", "fox"))]
)
def test_heads_follow_the_classes_too(names: tuple[str, ...], classes: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    before, after = Heads(32, len(names)), Heads(32, len(classes))
    for head in before.heads:
        torch.nn.init.normal_(head.get_parameter("logit.bias"))
    after.load_state_dict(with_comparisons(before.state_dict(), after.state_dict(), names, classes))
    maps = [torch.randn(2, 64 << max(0, level - 1), 16 >> level, 16 >> level) for level in range(4)]
    was = torch.full((2, len(names)), 1 / len(names)) if names else torch.zeros(2, 0)
    now = torch.zeros(2, 0)
    if classes:
        now = hot(1, 1, count=len(classes))  # a class that is new, or any where there was none
    for found, wanted in zip(after(maps, now), before(maps, was), strict=True):
        assert torch.allclose(found, wanted, atol=1e-4)


def test_without_a_file_the_discriminator_starts_anew_and_the_log_says_so(pets: Path) -> None:
    (pets / DISCRIMINATOR).unlink()
    start = read_start(str(pets))
    networks = new_networks(CONFIG, CPU, 7)
    fresh = new_discriminator(NETWORK)
    fresh.load_state_dict(networks.discriminator.state_dict())
    notes = begin(networks, start, CLASSES)
    for name, value in networks.discriminator.state_dict().items():
        assert torch.equal(value, fresh.state_dict()[name])
    assert "it has no discriminator.safetensors: the discriminator starts anew" in notes
    assert start.sha256 == start.file.config.weights_sha256


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"width": 32}, "its width is 16, this run's is 32; say --width 16"),
        ({"resolution": 64}, "its resolution is 32, this run's is 64; say --preset modern-32"),
        ({"code_dim": 16}, "its code_dim is 8, this run's is 16"),
        ({"discriminator_width": 32}, "say --discriminator-width 16"),
        ({"channels": 1}, "its channels is 3, this run's is 1"),
        ({"classes": 5}, None),
    ],
)
def test_run_must_agree_with_the_file(pets: Path, changes: Any, said: str | None) -> None:
    start = read_start(str(pets))
    config = suited(replace(CONFIG, network=replace(NETWORK, **changes)), start, own=False)
    if said is None:
        check_agrees(config, start)
        return
    with pytest.raises(GeneratorFileError, match=r"^--from ") as caught:
        check_agrees(config, start)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    (pets / DISCRIMINATOR).unlink()
    if "discriminator_width" in changes:  # then it matters no more
        check_agrees(config, read_start(str(pets)))


def test_families_that_fold_their_weights_are_refused(tmp_path: Path) -> None:
    folder = write_tiny_generator(tmp_path / "tiny")
    with pytest.raises(GeneratorFileError, match="family is dcgan; allowed: modulated, residual"):
        read_start(str(folder))


def test_file_of_before_finds_its_preset_under_its_name_of_today(tmp_path: Path) -> None:
    network = ResidualConfig(z_dim=8, classes=3, resolution=32, width=16, discriminator_width=16)
    start = read_start(str(write_tiny_residual(tmp_path / "old", network)))
    assert start.preset == "modern-32-v1"
    edit_json(tmp_path / "old" / "config.json", preset="forgotten")
    with pytest.raises(
        GeneratorFileError, match="preset forgotten is not known here; say --preset"
    ):
        _ = read_start(str(tmp_path / "old")).preset


def test_start_is_part_of_what_a_run_computes_and_its_absence_is_not() -> None:
    nothing, some = CONFIG, replace(CONFIG, start="0" * 64)
    assert nothing.fingerprint("x") != some.fingerprint("x")
    assert "start" not in {k for k, v in TrainConfig.record(nothing).items() if v}


# --- the command ---


@pytest.fixture
def presets() -> Iterator[None]:
    before = dict(PRESETS)
    PRESETS.update(TINY_PRESETS)
    yield
    PRESETS.clear()
    PRESETS.update(before)


def train(data: Path, outdir: Path, *more: str) -> list[str]:
    plain = ["--data", str(data), "--outdir", str(outdir), "--device", "cpu", "--features", "none"]
    return ["train", *plain, "--batch", "32", "--kimg", "0.256", *more]


class Pulled:
    """The plug, at the last of so many calls."""

    def __init__(self, calls: int) -> None:
        self._left = calls

    def __call__(self) -> None:
        self._left -= 1
        if not self._left:
            raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.usefixtures("presets")
def test_the_whole_way(
    digits: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Trained, exported, trained on from there, stopped, gone on with: the unbroken run's bytes."""
    assert main(train(digits, tmp_path / "first", "--preset", "modern-32")) == 0
    (source,) = (tmp_path / "first").glob("0*")
    monkeypatch.chdir(tmp_path)  # a classifier is kept here
    arguments = ["export", str(source), "--which", "last", "--output", str(tmp_path / "start")]
    assert main([*arguments, "--images", "240", "--device", "cpu"]) == 0
    assert "with its discriminator" in capsys.readouterr().out

    more = ("--from", str(tmp_path / "start"))
    assert main(train(digits, tmp_path / "plain", *more)) == 0  # with the preset of the file
    pulled = Pulled(4)
    with monkeypatch.context() as patch:
        patch.setattr(RunLog, "progress", lambda *_: pulled())
        kept = ("--checkpoint-seconds", "0")
        assert main(train(digits, tmp_path / "broken", *more, *kept)) == 1
    assert main(train(digits, tmp_path / "broken", *more)) == 0
    ends = []
    for outdir in ("plain", "broken"):
        (folder,) = (tmp_path / outdir).glob("0*")
        ends.append(checkpoint.newest_first(folder / "checkpoints")[0].read_bytes())
        options = json.loads((folder / "options.json").read_text())
        assert options["start"] == read_generator_file(tmp_path / "start").config.id
        assert "starting from start@" in (folder / "log.txt").read_text()
    assert "resuming at 96 images" in (folder / "log.txt").read_text()
    assert ends[0] == ends[1]

    (folder,) = (tmp_path / "plain").glob("0*")
    first = checkpoint.read_checkpoint(checkpoint.path_of(folder / "checkpoints", 0)).tensors
    found = load_file(tmp_path / "start" / DISCRIMINATOR)
    assert all(torch.equal(first[name], value.float()) for name, value in found.items())

    (tmp_path / "start" / DISCRIMINATOR).unlink()  # another start, another run
    assert main(train(digits, tmp_path / "plain", *more)) == 0
    assert len(list((tmp_path / "plain").glob("0*"))) == 2


@pytest.mark.usefixtures("presets")
def test_refusals_are_one_line(
    digits: Path, pets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for start, said in (
        (str(tmp_path / "nowhere"), "no such folder"),
        ("", "the name of a generator is empty"),
        ("mnist", "family is dcgan; allowed: modulated, residual"),
    ):
        assert main(train(digits, tmp_path / "runs", "--from", start)) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert said in line
    wide = ("--from", str(pets), "--width", "32")
    assert main(train(digits, tmp_path / "runs", *wide)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "its width is 16, this run's is 32; say --width 16" in line
    assert not list((tmp_path / "runs").glob("0*"))


def test_copies_and_uploads_take_the_discriminator_along(pets: Path, tmp_path: Path) -> None:
    assert DISCRIMINATOR in FILES  # which an upload goes by
    PretrainedGenerator.from_pretrained(pets, device="cpu").save_pretrained(tmp_path / "copy")
    start = read_start(str(tmp_path / "copy"))
    assert start.discriminator is not None
    assert start.sha256 == read_start(str(pets)).sha256
