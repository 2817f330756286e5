"""Training of classifiers from few labels: labels, batches, losses, steps, runs, commands; on small
pictures of bars.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from model.classification.classifier_file import read_classifier
from model.classification.onnx_classifier import OnnxClassifier
from model.classification.pytorch import load_classifier
from model.generator_file import read_generator_file
from model.networks.families.dcgan import DCGANConfig
from model.networks.families.mlp import MLPConfig
from model.samplers.onnx import OnnxSampler
from model.samplers.pytorch import load_generator, plain_sampler
from model.training import loop
from model.training.__main__ import main
from model.training.classification import config as classify_config
from model.training.classification.config import CLASSIFY_PRESETS, ClassifyConfig
from model.training.classification.discriminators import NOISE, Discriminator, new_discriminator
from model.training.classification.job import FITTING
from model.training.classification.networks import new_classify_networks
from model.training.classification.pictures import (
    ClassifyBatches,
    Pictures,
    choose,
    held_out,
    start_examples,
    without_labels,
)
from model.training.classification.steps import (
    matching_loss,
    semi_supervised_step,
    supervised_step,
    unsupervised_loss,
)
from model.training.classification.task import CLASSIFIER, GENERATOR, ClassifierRun, mistakes
from model.training.datasets.dataset import DataError, Dataset
from model.training.distributed import DistributedError, Ranks
from model.training.evaluation.features import to_input
from model.training.presets import Schedule
from model.training.run import checkpoint

CPU = torch.device("cpu")
REFERENCE = CLASSIFY_PRESETS["ssgan-mnist"].config
NAMES = "flat", "steep"
MLP = ClassifyConfig(
    preset="ssgan-mnist",
    layout="mlp",
    widths=(24, 16),
    network=MLPConfig(z_dim=4, resolution=16, width=16),
    side=16,
    labels=4,
    batch=8,
    bf16=False,
)
CONVOLUTIONAL = replace(
    MLP,
    preset="ssgan-32",
    layout="convolutional",
    widths=(4, 6),
    network=DCGANConfig(z_dim=4, resolution=16, channels=1, width=8, discriminator_width=4),
    matching="absolute",
    cooldown=0.5,
)
CONFIGS = pytest.mark.parametrize("config", [MLP, CONVOLUTIONAL], ids=["mlp", "convolutional"])


def bars(count: int, seed: int, side: int = 16) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Returns bright bars on dark noise, flat and steep ones in turns."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 60, (count, side, side, 1)).astype(np.uint8)
    for at, picture in enumerate(pixels):
        first = random.integers(1, side - 3)
        part = picture[first : first + 2] if at % 2 == 0 else picture[:, first : first + 2]
        part[:] = 220
    return pixels, np.arange(count) % 2


def dataset(count: int, seed: int = 0, names: tuple[str, ...] = NAMES) -> Dataset:
    pixels, labels = bars(count, seed)
    return Dataset(name="bars", images=pixels, labels=labels, classes=names)


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    return choose(dataset(48), 4, 0)


# --- labels and batches ---


def test_as_many_of_each_class_are_drawn_by_the_seed_alone() -> None:
    data = dataset(40)
    first, again, other = (choose(data, 6, seed) for seed in (0, 0, 1))
    assert np.array_equal(first.labelled, again.labelled)
    assert not np.array_equal(first.labelled, other.labelled)
    assert np.bincount(first.labels).tolist() == [3, 3]
    assert len(choose(data, 0, 0).labelled) == 40


@pytest.mark.parametrize(
    ("count", "reason"),
    [
        pytest.param(5, "among 2 classes; allowed: multiples of 2 up to 40", id="odd"),
        pytest.param(42, "21 pictures of each class; flat has 20", id="too-many"),
    ],
)
def test_labels_that_are_not_there_are_refused(count: int, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        choose(dataset(40), count, 0)


@pytest.mark.parametrize("name", ["Unlabelled", "unlabeled", "unlabelled/2026/may"])
def test_folder_unlabelled_is_no_class(name: str) -> None:
    pixels, _ = bars(30, 0)
    labels = np.arange(30) % 3
    classes = ("flat", "steep", name)
    data = Dataset(name="bars", images=pixels, labels=labels, classes=classes)
    found = without_labels(data)
    assert found.classes == ("flat", "steep")
    assert found.labels is not None
    assert np.array_equal(found.labels, np.where(labels == 2, -1, labels))
    chosen = choose(data, 0, 0)
    assert len(chosen.labelled) == 20
    assert len(chosen.data) == 30
    assert len(held_out(data, ("flat", "steep"))) == 20


@pytest.mark.parametrize("names", [("a", "unlabelled"), ("unlabeled", "unlabelled")])
def test_fewer_than_two_classes_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match="a classifier needs pictures in folders of two or more"):
        without_labels(dataset(8, names=names))


def test_held_out_part_with_other_classes_is_refused() -> None:
    with pytest.raises(DataError, match="have other classes than those"):
        held_out(dataset(8), ("one", "two"))


def test_batches_are_a_function_of_seed_and_step(pictures: Pictures) -> None:
    one, other = (ClassifyBatches(MLP, pictures, CPU) for _ in range(2))
    for _ in range(3):
        other(0)
    found, wanted = other(7), one(7)
    for name in ("labelled", "labels", "unlabelled", "matched", "rows", "generator_rows"):
        assert torch.equal(getattr(found, name), getattr(wanted, name))
    assert torch.equal(
        torch.rand(3, generator=found.random), torch.rand(3, generator=wanted.random)
    )
    assert not torch.equal(found.unlabelled, found.matched[: len(found.unlabelled)])
    assert len(found.matched) == len(found.generator_rows) == MLP.batch * MLP.generator_updates
    assert not torch.equal(found.rows, found.generator_rows[: len(found.rows)])
    assert not torch.equal(one(8).rows, wanted.rows)
    assert not torch.equal(ClassifyBatches(MLP, pictures, CPU, attempt=1)(7).rows, wanted.rows)


def test_every_picture_is_dealt_once_in_a_pass(pictures: Pictures) -> None:
    config = replace(MLP, batch=5)  # passes end within batches
    deal = ClassifyBatches(config, pictures, CPU)._dealt
    dealt = np.concatenate([deal(21, step, 48) for step in range(48)])
    assert np.array_equal(np.concatenate([deal(21, step, 48, 15) for step in range(16)]), dealt)
    assert np.bincount(dealt).tolist() == [5] * 48
    for turn in range(5):
        assert len(set(dealt[48 * turn : 48 * (turn + 1)])) == 48


def test_labelled_pictures_come_with_their_labels(pictures: Pictures) -> None:
    batch = ClassifyBatches(MLP, pictures, CPU)(3)
    wanted = {one.tobytes(): label for one, label in zip(
        to_input(torch.from_numpy(pictures.data.images[pictures.labelled])).numpy(),
        pictures.labels, strict=True,
    )}  # fmt: skip
    found = [wanted[one.numpy().tobytes()] for one in batch.labelled]
    assert found == batch.labels.tolist()


# --- losses ---


def test_unsupervised_loss_is_half_the_cross_entropy_of_real_and_generated() -> None:
    real = torch.tensor([[0.5, -1.0], [2.0, 3.0]], dtype=torch.float64)
    fake = torch.tensor([[-0.3, 0.1], [1.0, -4.0]], dtype=torch.float64)
    true = real.exp().sum(1) / (real.exp().sum(1) + 1)  # D(x) = Z / (Z + 1)
    false = 1 / (fake.exp().sum(1) + 1)
    wanted = -0.5 * (true.log().mean() + false.log().mean())
    assert float(unsupervised_loss(real, fake)) == pytest.approx(float(wanted))


def test_unsupervised_loss_is_finite_for_large_logits() -> None:
    large = torch.tensor([[1e4, -1e4]])
    assert float(unsupervised_loss(large, -large.abs())) == 0.0
    assert float(unsupervised_loss(-large.abs(), large)) == pytest.approx(1e4, rel=1e-3)


def test_matching_loss_compares_means_of_features() -> None:
    real = torch.tensor([[1.0, 0.0], [3.0, 0.0]])
    fake = torch.tensor([[0.0, 4.0], [2.0, 0.0]])
    assert float(matching_loss(real, fake, "square")) == pytest.approx((1 + 4) / 2)
    assert float(matching_loss(real, fake, "absolute")) == pytest.approx((1 + 2) / 2)
    assert float(matching_loss(real, real.flip(0), "square")) == 0.0


# --- networks ---


def started(config: ClassifyConfig, pictures: Pictures) -> Discriminator:
    seed, examples = 3, start_examples(pictures, config, CPU)
    return new_classify_networks(config, 2, CPU, seed, examples).generator.classifier


def test_first_pictures_set_the_scale_of_every_layer(pictures: Pictures) -> None:
    torch.manual_seed(0)
    network = new_discriminator(MLP, 2)
    examples = start_examples(pictures, MLP, CPU)
    seen: list[torch.Tensor] = []
    network.start(examples, torch.Generator().manual_seed(5))
    linear = torch.nn.functional.linear

    def spy(*arguments: torch.Tensor) -> torch.Tensor:
        seen.append(linear(*arguments))
        return seen[-1].clone()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.functional, "linear", spy)
        big = examples.repeat(200, 1, 1, 1)
        network(big, network.acting(), torch.Generator().manual_seed(6))
    assert len(seen) == 3
    for outputs in seen:
        assert outputs.mean(0).abs().max() < 0.5
        assert outputs.std(0).sub(1).abs().max() < 0.4


def test_direction_alone_does_not_change_what_a_layer_does(pictures: Pictures) -> None:
    network = started(MLP, pictures)
    images = to_input(torch.from_numpy(pictures.data.images))
    before = network(images, network.acting())
    with torch.no_grad():
        network.layers[1].direction.mul_(3.0)  # type: ignore[operator]
    assert torch.allclose(network(images, network.acting()), before, atol=1e-5)


def test_noise_is_drawn_by_the_generator_alone(pictures: Pictures) -> None:
    network = started(MLP, pictures)
    images = to_input(torch.from_numpy(pictures.data.images))

    def noisy(seed: int) -> torch.Tensor:
        torch.manual_seed(seed + 100)
        return network(images, network.acting(), torch.Generator().manual_seed(seed))

    assert torch.equal(noisy(1), noisy(1))
    assert not torch.equal(noisy(1), noisy(2))
    assert not torch.equal(noisy(1), network(images, network.acting()))
    drawn = network._noises(torch.zeros(200, 256), torch.Generator().manual_seed(0))  # type: ignore[operator]
    assert [float(part.std()) for part in drawn] == pytest.approx([0.3, NOISE], rel=0.05)


@CONFIGS
def test_updates_reach_both_networks_and_each_alone(
    pictures: Pictures, config: ClassifyConfig
) -> None:
    examples = start_examples(pictures, config, CPU)
    networks = new_classify_networks(config, 2, CPU, 0, examples)
    batch = ClassifyBatches(config, pictures, CPU)(0)
    classifier, generator = networks.generator.classifier, networks.generator.generator
    assert generator is not None
    classified = [value.detach().clone() for value in classifier.parameters()]
    generated = [value.detach().clone() for value in generator.parameters()]
    after_own_step: list[list[torch.Tensor]] = []
    assert networks.generator_optimizer is not None
    networks.generator_optimizer.register_step_pre_hook(
        lambda *_: after_own_step.append([v.detach().clone() for v in classifier.parameters()])
    )
    stats = semi_supervised_step(networks, batch, config, 1.0)
    assert all(value.isfinite() for value in stats.values())
    for before, after in zip(classified, classifier.parameters(), strict=True):
        assert not torch.equal(before, after)
    assert len(after_own_step) == config.generator_updates
    for update in after_own_step:
        for before, after in zip(update, classifier.parameters(), strict=True):
            assert torch.equal(before, after)
    learning = [value.requires_grad for value in generator.parameters()]
    for before, after, learns in zip(generated, generator.parameters(), learning, strict=True):
        assert torch.equal(before, after) != learns


def test_supervised_step_sees_labelled_pictures_alone(pictures: Pictures) -> None:
    config = replace(MLP, objective="supervised")
    networks = new_classify_networks(config, 2, CPU, 0, start_examples(pictures, config, CPU))
    assert networks.generator.generator is None
    assert networks.optimizers().keys() == {"classifier_optimizer"}
    batch = ClassifyBatches(config, pictures, CPU)(0)
    assert not len(batch.unlabelled)
    assert supervised_step(networks, batch, config, 1.0).keys() == {"loss_labelled"}


# --- the loop ---


def make_run(
    folder: Path, pictures: Pictures, config: ClassifyConfig, **changes: object
) -> ClassifierRun:
    folder.mkdir(exist_ok=True)
    fields = {
        "config": config,
        "schedule": Schedule(images=64, log_steps=2, grid_steps=3, snapshot_images=32),
        "folder": folder,
        "device": CPU,
        "pictures": pictures,
        "data_sha256": pictures.data.fingerprint,
        "test": dataset(20, seed=1),
    }
    return ClassifierRun(**(fields | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "config",
    [MLP, CONVOLUTIONAL, replace(MLP, objective="supervised"), replace(MLP, techniques=FITTING)],
    ids=["mlp", "convolutional", "supervised", "techniques"],
)
def test_resumed_run_equals_unbroken_run(
    pictures: Pictures, tmp_path: Path, config: ClassifyConfig
) -> None:
    unbroken = make_run(tmp_path / "unbroken", pictures, config)
    assert loop.train(unbroken, lambda: False)
    broken = make_run(tmp_path / "broken", pictures, config)
    asked = iter([False] * 2 + [True] + [False] * 99)
    assert not loop.train(broken, lambda: next(asked))
    assert loop.train(broken, lambda: False)
    ends = [checkpoint.newest_first(run.folder / "checkpoints")[0] for run in (unbroken, broken)]
    assert ends[0].read_bytes() == ends[1].read_bytes()
    there = sorted(path.relative_to(unbroken.folder) for path in unbroken.folder.glob("last/*/*"))
    assert {path.parts[1] for path in there} == (
        {CLASSIFIER} if config.supervised else {CLASSIFIER, GENERATOR}
    )
    for path in there:
        assert (unbroken.folder / path).read_bytes() == (broken.folder / path).read_bytes()
    assert not (unbroken.folder / "best").exists()


@CONFIGS
def test_files_hold_the_averages(
    pictures: Pictures, tmp_path: Path, config: ClassifyConfig
) -> None:
    run = make_run(tmp_path / "run", pictures, config, test=None)
    assert loop.train(run, lambda: False)
    task = run.task()
    task.networks.load(
        checkpoint.read_checkpoint(checkpoint.newest_first(run.folder / "checkpoints")[0]).tensors
    )
    pixels = dataset(20, seed=1).images
    images = to_input(torch.from_numpy(pixels))
    classifier = task.networks.generator_ema.classifier
    wanted = classifier(images, classifier.acting()).numpy()
    file = read_classifier(run.folder / "last" / CLASSIFIER)
    assert file.config.real
    assert file.config.labels is not None
    assert file.config.labels.pictures == 4
    assert np.abs(OnnxClassifier(file)(pixels) - wanted).max() < 1e-4
    by_torch = load_classifier(file)(images).detach().numpy()
    assert np.abs(by_torch - wanted).max() < 1e-4
    generated = read_generator_file(run.folder / "last" / GENERATOR)
    rows = generated.config.rows(range(6))
    drawn = OnnxSampler(generated)(rows).astype(int)
    assert drawn.shape == (6, 16, 16, 1)
    plain = plain_sampler(load_generator(generated), 16, CPU)(rows)
    assert np.abs(drawn - plain).max() <= 1


def test_classifier_learns_from_few_labels(tmp_path: Path) -> None:
    def halves(seed: int) -> Dataset:
        """Returns noise, brighter in the upper or in the lower half."""
        pixels = np.random.default_rng(seed).integers(0, 128, (200, 16, 16, 1)).astype(np.uint8)
        pixels[::2, :8] += 60
        pixels[1::2, 8:] += 60
        return Dataset(name="halves", images=pixels, labels=np.arange(200) % 2, classes=NAMES)

    pictures, test = choose(halves(0), 8, 0), halves(1)
    schedule = Schedule(images=480, snapshot_images=480, grid_steps=10**6)
    config = replace(MLP, batch=16, ema_ramp=0.1)
    run = make_run(tmp_path / "run", pictures, config, schedule=schedule, test=test)
    assert loop.train(run, lambda: False)
    file = read_classifier(run.folder / "last" / CLASSIFIER)
    error = mistakes(OnnxClassifier(file), test) / 200
    assert file.config.metrics == {"error_200_test_halves": pytest.approx(error)}
    assert error < 0.1


def test_several_processes_are_refused(pictures: Pictures, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", pictures, MLP, ranks=Ranks(rank=0, size=2))
    with pytest.raises(DistributedError, match="trains in one process"):
        run.task()


def test_presets_are_those_of_the_reference() -> None:
    config = REFERENCE
    assert config.widths == (1000, 500, 250, 250, 250)
    assert (config.learning_rate, config.betas) == (3e-3, (0.5, 0.999))
    assert (config.labels, config.batch) == (100, 100)
    kept = 0.5 ** (config.batch / config.ema_half_life)
    assert kept == pytest.approx(0.9999, abs=1e-9)


# --- the commands ---


@pytest.fixture(scope="module", autouse=True)
def tiny_presets() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for config in (MLP, CONVOLUTIONAL):
            preset = replace(CLASSIFY_PRESETS[config.preset], config=config, epochs=1)
            patch.setitem(classify_config.CLASSIFY_PRESETS, config.preset, preset)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns twenty pictures of each class, and forty beside them without label."""
    folder = tmp_path_factory.mktemp("bars")
    pixels, labels = bars(80, 0)
    for at, (picture, label) in enumerate(zip(pixels, labels, strict=True)):
        parent = folder / (NAMES[label] if at < 40 else "unlabelled")
        parent.mkdir(exist_ok=True)
        Image.fromarray(picture[..., 0]).save(parent / f"{at:02d}.png")
    return folder


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    outdir = tmp_path_factory.mktemp("runs")
    arguments = ["train", "--preset", "ssgan-32", "--data", str(folder), "--labels", "all"]
    assert main([*arguments, "--outdir", str(outdir), "--device", "cpu"]) == 0
    (run,) = outdir.glob("0*")
    return run


def test_run_has_what_any_run_has(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    assert {"last", "log.txt", "stats.jsonl", "metrics.jsonl", "options.json"} <= names
    assert {"losses.png", "metrics.png", "reals.png", "report.html", "checkpoints"} <= names
    log = (trained / "log.txt").read_text()
    assert "36 labelled pictures of 2 classes; all 72 pictures, these among them" in log
    assert "4 held-out pictures" in log
    page = (trained / "report.html").read_text()
    assert "Nothing was selected by them" in page
    assert "Generated pictures" in page


def test_evaluate_prints_what_the_snapshot_measured(
    trained: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(trained / "last" / CLASSIFIER), "--data", str(folder)]) == 0
    metrics = read_classifier(trained / "last" / CLASSIFIER).config.metrics
    assert list(metrics) == [f"error_4_test_{folder.name}"]
    assert json.loads(capsys.readouterr().out) == metrics


def test_export_writes_the_classifier_and_in_it_the_generator(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "my-bars"
    arguments = ["export", str(trained), "--output", str(output), "--licence", "CC0-1.0"]
    assert main([*arguments, "--description", "Bars of mine."]) == 0
    assert f"classifier my-bars@{read_classifier(output).hash}" in capsys.readouterr().out
    file, before = read_classifier(output), read_classifier(trained / "last" / CLASSIFIER)
    assert file.sha256 == before.sha256
    assert file.config.licence == "CC0-1.0"
    generator = read_generator_file(output / GENERATOR)
    assert generator.config.hash == read_generator_file(trained / "last" / GENERATOR).config.hash
    card, other = ((at / "README.md").read_text() for at in (output, output / GENERATOR))
    for words in ("license: cc0-1.0", "Bars of mine.", "contain the labelled ones", "--labels all",
                  "nothing was selected by held-out", "Requires a Bad GAN"):  # fmt: skip
        assert words in card.replace("\n", " ")
    assert "not to be looked at" in other
    assert main(arguments) == 2
    assert "holds files" in capsys.readouterr().err
    assert main([*arguments, "--force"]) == 0


def test_export_replaces_no_folder_of_something_else(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    assert main(["export", str(trained), "--output", str(tmp_path), "--force"]) == 2
    assert "holds files, but no classifier" in capsys.readouterr().err


def test_report_is_written_anew(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = trained / "report.html"
    before = page.read_text()
    page.unlink()
    assert main(["report", str(trained)]) == 0
    assert str(page) in capsys.readouterr().out
    assert page.read_text() == before


def test_supervised_run_is_another_run_and_has_no_generator(folder: Path, tmp_path: Path) -> None:
    arguments = ["train", "--preset", "ssgan-32", "--data", str(folder), "--labels", "4"]
    arguments += ["--kimg", "0.016", "--outdir", str(tmp_path), "--features", "none"]
    assert main([*arguments, "--supervised"]) == 0
    assert main(arguments) == 0
    supervised, other = sorted(tmp_path.glob("0*"))
    assert (
        "4 labelled pictures of 2 classes, as many of each class, drawn by seed 0; no others"
        in (supervised / "log.txt").read_text()
    )
    assert not read_classifier(supervised / "last" / CLASSIFIER).config.real
    assert not (supervised / "last" / GENERATOR).exists()
    assert (other / "last" / GENERATOR).is_dir()
    assert read_classifier(other / "last" / CLASSIFIER).config.metrics == {}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        pytest.param(["--preset", "dcgan-mnist", "--labels", "all"],
                     "--labels is for ssgan-mnist and ssgan-32", id="generator"),
        pytest.param(["--preset", "upscale-4x", "--supervised"],
                     "--supervised is for", id="upscaler"),
        pytest.param(["--preset", "ssgan-32", "--gamma", "1"],
                     "--gamma is no option of preset ssgan-32", id="gamma"),
        pytest.param(["--preset", "ssgan-32", "--from", "mnist"],
                     "--from is no option of preset ssgan-32", id="from"),
        pytest.param(["--preset", "ssgan-32", "--features", "inception"],
                     "allowed for a classifier: auto, none", id="features"),
        pytest.param(["--preset", "ssgan-32", "--techniques", "packing"],
                     "packing is not for a classifier: its answer would depend on the pictures "
                     "beside it; allowed: historical-averaging, virtual-batch-norm",
                     id="packing"),
        pytest.param(["--preset", "ssgan-32", "--techniques", "feature-matching"],
                     "its generator learns so already", id="feature-matching"),
        pytest.param(["--preset", "ssgan-32", "--supervised", "--techniques", "virtual-batch-norm"],
                     "learns with a generator", id="supervised-techniques"),
        pytest.param(["--preset", "ssgan-32", "--labels", "3"],
                     "--labels 3 does not divide among 2 classes; allowed: multiples of 2 up to 36",
                     id="labels"),
        pytest.param(["--preset", "ssgan-32", "--labels", "900"],
                     "allowed: multiples of 2 up to 36, or all", id="more-labels"),
        pytest.param(["--preset", "ssgan-32", "--labels", "all", "--label-seed", "0"],
                     "--label-seed chooses among labels; all are taken", id="label-seed"),
        pytest.param(["--preset", "ssgan-mnist", "--labels", "all", "--label-seed", "1"],
                     "--label-seed chooses among labels; all are taken", id="label-seed-of-all"),
        pytest.param(["--preset", "ssgan-32", "--supervised", "--generator-learning-rate", "1"],
                     "--generator-learning-rate is for a classifier that learns with a generator",
                     id="supervised-rate"),
        pytest.param(["--preset", "ssgan-32", "--supervised", "--grid-steps", "7"],
                     "--grid-steps is for", id="supervised-grids"),
        pytest.param(["--preset", "ssgan-32", "--batch", "100"],
                     "72 pictures are fewer than one batch of 100; lower --batch", id="batch"),
    ],
)  # fmt: skip
def test_options_that_say_nothing_are_refused(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    reason: str,
) -> None:
    arguments = ["train", *arguments, "--data", str(folder), "--outdir", str(tmp_path)]
    for dry in ([], ["--dry-run"]):
        assert main([*arguments, *dry]) == 2
        assert reason in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("evaluate {last} --data {folder} --device cpu", "--device says nothing to a classifier"),
        ("evaluate {last} --data {folder} --outdir x", "--outdir says nothing to a classifier"),
        ("evaluate {last} --data {folder} --pictures-of x", "--pictures-of says nothing"),
        ("evaluate {last} --data {folder} --features none", "leaves nothing to measure with"),
        ("export {run} --output {output} --device cpu", "--device says nothing to a classifier"),
        ("export {run} --output {output} --features none --data x", "--data is for measuring"),
        ("report {run} --images 300", "--images says nothing to a classifier"),
        ("report {run} --features inception", "allowed for a classifier: auto, none"),
    ],
)
def test_options_that_say_nothing_to_a_classifier_are_refused(
    folder: Path,
    trained: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: str,
    reason: str,
) -> None:
    places = {"last": trained / "last" / CLASSIFIER, "folder": folder, "run": trained}
    assert main(command.format(**places, output=tmp_path / "new").split()) == 2
    assert reason in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_export_again_keeps_name_licence_and_description(trained: Path, tmp_path: Path) -> None:
    arguments = ["export", str(trained), "--output", str(tmp_path / "kept")]
    said = ["--name", "bars-of-ours", "--licence", "MIT", "--description", "Hello there."]
    assert main([*arguments, *said]) == 0
    card = (tmp_path / "kept" / "README.md").read_text()
    assert main([*arguments, "--force"]) == 0
    config = read_classifier(tmp_path / "kept").config
    assert (config.name, config.licence) == ("bars-of-ours", "MIT")
    assert (tmp_path / "kept" / "README.md").read_text() == card


def test_dry_run_writes_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", "--preset", "ssgan-mnist", "--data", str(folder), "--dry-run"]
    assert main([*arguments, "--outdir", str(tmp_path / "runs")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["config"]["labels"] == 4
    assert not (tmp_path / "runs").exists()


def test_dry_run_downloads_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    config = replace(REFERENCE, labels=100)
    preset = replace(CLASSIFY_PRESETS["ssgan-mnist"], config=config, epochs=100)
    monkeypatch.setitem(classify_config.CLASSIFY_PRESETS, "ssgan-mnist", preset)
    arguments = [
        "train",
        "--preset",
        "ssgan-mnist",
        "--dry-run",
        "--base-url",
        "http://127.0.0.1:9",
    ]
    assert main([*arguments, "--data", "mnist"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["fingerprint"] is None
    assert found["schedule"]["images"] == 6_000_000
    assert main([*arguments, "--data", "svhn"]) == 2
    assert "svhn: preset ssgan-mnist is not for its pictures" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
