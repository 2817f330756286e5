"""The improved techniques: each by its equation, resumable, the same with several processes."""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from model.generator_file import read_generator_file
from model.networks.dcgan import Discriminator, Generator
from model.networks.pytorch import new_generator
from model.samplers.onnx import OnnxSampler
from model.samplers.pytorch import generator_weights
from model.training import ema, loop
from model.training.__main__ import main
from model.training.datasets.batches import Batches, examples
from model.training.datasets.dataset import Dataset, load
from model.training.generator_task import GeneratorRun
from model.training.presets import PRESETS, Schedule, TrainConfig
from model.training.run.checkpoint import newest_first
from model.training.techniques.catalogue import TECHNIQUES, techniques
from model.training.techniques.discriminator import BatchDiscriminator, features_of
from model.training.techniques.history import WEIGHT, History
from model.training.techniques.matching import feature_matching_loss, mean_features
from model.training.techniques.minibatch import (
    DISTANCE,
    MinibatchDiscrimination,
    minibatch_stddev,
)
from model.training.techniques.reference_batch import (
    REFERENCE,
    VirtualBatchNorm,
    normalise_by_reference,
    reference_rows,
)
from model.training.train_step import new_networks, train_step
from tests.conftest import SHA, TINY
from tests.tiny_training import TINY_PRESET

CPU = torch.device("cpu")
PLAIN = replace(TINY_PRESET.config, batch=32)


def with_techniques(*names: str) -> TrainConfig:
    return replace(PLAIN, techniques=names)


@pytest.fixture(scope="module")
def data(digits: Path) -> Dataset:
    return load(digits, "train", side=28, channels=1)


@pytest.fixture
def tiny_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS, "dcgan-mnist", TINY_PRESET)


# --- names ---


def test_order_of_names_means_nothing_to_a_run() -> None:
    one, other = techniques("packing,feature-matching"), techniques("feature-matching,packing")
    assert one == other == ("feature-matching", "packing")
    prints = [with_techniques(*names).fingerprint(SHA) for names in ((), one, ("packing",))]
    assert len(set(prints)) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is no technique; known: feature-matching, "),
        ("packing,", "'' is no technique"),
        ("label-smoothing", "'label-smoothing' is no technique"),
        ("packing,packing", "packing is there twice"),
    ],
)
def test_unknown_names_and_repeated_ones_are_refused(text: str, message: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=message):
        techniques(text)


# --- feature matching ---


def test_feature_matching_is_the_squared_distance_of_mean_features() -> None:
    real = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    fake = torch.tensor([[0.0, 0.0], [2.0, 0.0], [4.0, 3.0]])
    loss = feature_matching_loss(mean_features(real), fake)
    assert loss.item() == pytest.approx(((2 - 2) ** 2 + (4 - 1) ** 2) / 2)


def test_feature_matching_replaces_the_generators_loss(data: Dataset) -> None:
    """The generator's update by the equation, in the discriminator after its own."""
    config = replace(with_techniques("feature-matching"), generator_updates=1)
    ours, other = new_networks(config, CPU, 0), new_networks(config, CPU, 0)
    batch = Batches(config, data, CPU)(0)
    stats = train_step(ours, batch, config, 0)
    fake = other.generator(batch.rows)
    real, generated = (
        features_of(ours.discriminator, images).mean(0) for images in (batch.real, fake)
    )
    loss = (real.detach() - generated).square().mean()
    assert stats["loss_g"].item() == pytest.approx(loss.item(), rel=1e-5)
    other.generator_optimizer.zero_grad()
    loss.backward()
    other.generator_optimizer.step()
    for a, b in zip(ours.generator.parameters(), other.generator.parameters(), strict=True):
        assert torch.allclose(a, b, atol=2e-6)


# --- minibatch discrimination, minibatch standard deviation ---


def test_minibatch_discrimination_is_its_equation() -> None:
    torch.manual_seed(0)
    layer, features = MinibatchDiscrimination(6, kernels=3, dim=2), torch.randn(5, 6)
    layer.bias.data = torch.tensor([0.5, 0.0, -1.0])
    placed = torch.einsum("na,abc->nbc", features, layer.weight.view(6, 3, 2))
    wanted = layer.bias.detach().repeat(5, 1)
    for i in range(5):
        for b in range(3):
            for j in set(range(5)) - {i}:
                wanted[i, b] += torch.exp(-(placed[i, b] - placed[j, b]).abs().sum())
    assert torch.allclose(layer(features), wanted, atol=1e-5)


def test_minibatch_discrimination_starts_fitted_to_data() -> None:
    """Whatever the scale of the features, distances start where exp(-d) has a slope."""
    torch.manual_seed(0)
    layer, features = MinibatchDiscrimination(20, kernels=4), 1e3 * torch.randn(64, 20)
    layer.fit(features)
    assert layer(features).mean(0).abs().max() < 1e-4
    placed = (features @ layer.weight).view(64, 4, -1)
    for kernel in range(4):
        distances = torch.pdist(placed[:, kernel], p=1.0)
        assert distances.mean().item() == pytest.approx(DISTANCE, rel=1e-4)


@pytest.mark.parametrize(
    "images",
    [
        pytest.param(torch.zeros(7, 1, 32, 32), id="alike-and-odd"),
        pytest.param(torch.randn(3, 1, 32, 32), id="one-pack"),
    ],
)
def test_start_is_sound_where_there_is_nothing_to_fit_to(images: torch.Tensor) -> None:
    names = ("minibatch-discrimination", "packing")
    judge = BatchDiscriminator(Discriminator(TINY, pictures=2), names)
    before = judge.minibatch.weight.clone()
    judge.fit(images)
    assert torch.equal(judge.minibatch.weight, before)
    assert judge(torch.randn(8, 1, 32, 32)).isfinite().all()


def test_minibatch_stddev_is_the_mean_deviation_over_the_batch() -> None:
    features = torch.tensor([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]])
    wanted = (torch.tensor([0.0, 2.0, 4.0]).std(correction=0) + 1e-4) / 2
    assert torch.allclose(minibatch_stddev(features), wanted.expand(3, 1), atol=1e-4)


@pytest.mark.parametrize("name", ["minibatch-discrimination", "minibatch-stddev"])
def test_discriminator_is_told_of_a_collapsed_batch(name: str) -> None:
    """Equal pictures are nowhere in the features, however many there are."""
    torch.manual_seed(0)
    varied = torch.randn(16, 1, 32, 32)
    plain = Discriminator(TINY).eval()  # so that only the technique sees the batch
    told = BatchDiscriminator(plain, (name,)).eval()
    nn.init.ones_(plain.logit.weight)
    told.fit(varied)
    alike = varied[:1].repeat(16, 1, 1, 1)
    assert torch.allclose(told.features(alike)[0], told.features(varied)[0], atol=1e-5)
    assert (told(alike)[0] - told(varied)[0]).abs() > 1e-4


# --- packing ---


def test_packed_pictures_are_judged_together() -> None:
    torch.manual_seed(0)
    images = torch.randn(8, 1, 32, 32)
    judge = BatchDiscriminator(Discriminator(TINY, pictures=2), ("packing",)).eval()
    logits = judge(images)
    assert logits.shape == (4,)
    changed = images.clone()
    changed[3] = -changed[3]  # the second picture of the second pack
    assert (judge(changed) != logits).tolist() == [False, True, False, False]


# --- historical averaging ---


def test_history_is_the_mean_of_all_weights_so_far() -> None:
    weight = nn.Parameter(torch.tensor([1.0, 5.0]))
    history, seen = History([weight]), [weight.detach().clone()]
    for value in ([2.0, 0.0], [4.0, -3.0], [0.5, 8.0]):
        weight.data = torch.tensor(value)
        history.note()
        seen.append(weight.detach().clone())
    mean = torch.stack(seen).mean(0)
    distance = history.distance()
    assert distance.item() == pytest.approx(WEIGHT * (weight - mean).square().sum().item())
    distance.backward()
    assert weight.grad is not None
    assert torch.allclose(weight.grad, 2 * WEIGHT * (weight.detach() - mean))


def test_history_ends_the_circling_of_a_game_that_gradients_alone_do_not_end() -> None:
    """One minimises x y in x, the other -x y in y: the equilibrium is (0, 0)."""
    ends = []
    for averaged in (False, True):
        players = [nn.Parameter(torch.tensor([value])) for value in (1.0, 1.0)]
        histories = [History([player]) for player in players]
        optimizers = [torch.optim.SGD([player], 0.05) for player in players]
        for _ in range(600):
            for sign, optimizer, history in zip((1, -1), optimizers, histories, strict=True):
                optimizer.zero_grad()
                loss = sign * (players[0] * players[1]).sum()
                (loss + averaged * history.distance()).backward()
                optimizer.step()
                history.note()
        ends.append(torch.stack([player.detach() for player in players]).norm().item())
    assert ends[0] > 1.0
    assert ends[1] < 0.05


# --- virtual batch norm ---


def virtual_generator(seed: int = 0) -> Generator:
    torch.manual_seed(seed)
    generator = new_generator(TINY)
    assert isinstance(generator, Generator)
    for name, parameter in generator.named_parameters():
        if name.startswith("norms."):
            parameter.data.add_(0.3 * torch.randn_like(parameter))
    normalise_by_reference(generator, torch.from_numpy(reference_rows(TINY, "uniform")))
    return generator


def test_virtual_batch_norm_normalises_by_the_reference_and_the_picture_itself() -> None:
    torch.manual_seed(0)
    norm, plain = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    for one in (norm, plain):
        nn.init.constant_(one.weight, 1.5)
        nn.init.constant_(one.bias, 0.5)
    norm.__class__ = VirtualBatchNorm
    x = 3 * torch.randn(REFERENCE + 4, 3, 5, 5) + 7
    found = norm(x)
    reference = x[:REFERENCE]
    assert torch.allclose(found[:REFERENCE], plain(reference), atol=1e-5)
    for place in range(REFERENCE, len(x)):
        both = torch.cat([reference, x[place, None]])
        assert torch.allclose(found[place], plain(both)[-1], atol=1e-5)
    norm.eval()
    plain.running_mean.copy_(reference.mean((0, 2, 3)))
    plain.running_var.copy_(reference.transpose(0, 1).flatten(1).var(1))
    assert torch.allclose(norm(x), plain.eval()(x), atol=1e-5)


def test_picture_in_training_depends_on_its_batch_unless_batch_norm_is_virtual() -> None:
    z = torch.rand(6, TINY.z_dim) * 2 - 1
    plain, virtual = new_generator(TINY), virtual_generator()
    assert (plain(z)[:2] - plain(z[:2])).abs().max() > 1e-3
    assert torch.allclose(virtual(z)[:2], virtual(z[:2]), atol=1e-6)
    assert len(virtual(z)) == 6


def test_what_is_served_is_near_to_what_was_trained_with_virtual_batch_norm() -> None:
    """The statistics of the reference batch alone, folded into plain weights."""
    generator = virtual_generator()
    z = torch.rand(16, TINY.z_dim) * 2 - 1
    trained = generator(z).detach()
    served = ema.with_own_statistics(generator, "uniform")
    assert not any("reference" in name for name in generator_weights(served))
    again = ema.with_own_statistics(served, "uniform")
    for name, value in generator_weights(served).items():
        assert np.allclose(value, generator_weights(again)[name], atol=1e-6)
    difference = (served(z) - trained).abs().mean() / trained.std()
    assert 0 < difference < 0.05


# --- the run ---


def run_in(folder: Path, data: Dataset, config: TrainConfig) -> GeneratorRun:
    folder.mkdir()
    schedule = Schedule(images=12 * 32, log_steps=3, grid_steps=10**6, snapshot_images=10**6)
    return GeneratorRun(
        config=config,
        schedule=schedule,
        data=data,
        data_sha256=SHA,
        real=None,
        folder=folder,
        device=CPU,
    )


def after(*counts: int) -> Callable[[], bool]:
    """Ends after so many steps, then after so many more."""
    asked = (answer for count in counts for answer in [False] * (count - 1) + [True])
    return lambda: next(asked, False)


@pytest.mark.parametrize(
    "name",
    [
        *(pytest.param(name, marks=pytest.mark.slow) for name in TECHNIQUES),
        pytest.param(",".join(TECHNIQUES), id="all"),
    ],
)
def test_stopped_run_ends_with_the_bytes_of_an_unbroken_one(
    data: Dataset, tmp_path: Path, name: str
) -> None:
    """What the same command finds after a kill is what it finds after a stop: a checkpoint."""
    config = with_techniques(*techniques(name))
    plain = run_in(tmp_path / "plain", data, config)
    assert loop.train(plain, lambda: False)
    run, stop = run_in(tmp_path / "run", data, config), after(1, 4, 3)
    while not loop.train(run, stop):
        pass
    assert (run.folder / "log.txt").read_text().count("resuming at") == 3
    ends = [newest_first(one.folder / "checkpoints")[0] for one in (plain, run)]
    assert ends[0].name == ends[1].name
    assert ends[0].read_bytes() == ends[1].read_bytes()


@pytest.mark.parametrize("name", TECHNIQUES)
def test_technique_changes_what_is_learnt_and_not_where_the_generator_begins(
    data: Dataset, name: str
) -> None:
    config, shown = with_techniques(name), examples(data, 32)
    ours, plain = new_networks(config, CPU, 0, shown), new_networks(PLAIN, CPU, 0, shown)

    def equal() -> bool:
        pairs = zip(ours.generator.parameters(), plain.generator.parameters(), strict=True)
        return all(torch.equal(one, other) for one, other in pairs)

    assert equal()
    batches = Batches(PLAIN, data, CPU)
    for step in range(2):
        stats = train_step(ours, batches(step), config, step)
        train_step(plain, batches(step), PLAIN, step)
        assert all(value.isfinite() for value in stats.values())
    assert not equal()


@pytest.mark.usefixtures("tiny_preset")
def test_command_trains_exports_and_says_so(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = ["train", "--preset", "dcgan-mnist", "--data", str(digits), "--device", "cpu"]
    plain += ["--outdir", str(tmp_path), "--features", "none", "--batch", "32", "--kimg", "0.128"]
    assert main([*plain, "--techniques", "packing,virtual-batch-norm"]) == 0
    assert main([*plain, "--techniques", "virtual-batch-norm,packing"]) == 0
    (run,) = tmp_path.glob("[0-9]*")
    config = json.loads((run / "options.json").read_text())["config"]
    assert config["techniques"] == ["virtual-batch-norm", "packing"]
    assert "with virtual-batch-norm, packing" in (run / "last" / "README.md").read_text()
    output = tmp_path / "exported"
    more = ["--which", "last", "--features", "none", "--device", "cpu"]
    assert main(["export", str(run), "--output", str(output), *more]) == 0
    card = (output / "README.md").read_text()
    assert "| techniques | virtual-batch-norm, packing |" in card
    assert "statistics of the reference batch alone" in card
    file = read_generator_file(output)
    sampler, rows = OnnxSampler(file), file.config.rows(range(5))
    alone = np.concatenate([sampler(rows[place, None]) for place in range(5)])
    assert np.array_equal(sampler(rows), alone)


REFUSED: dict[str, tuple[list[str], str]] = {
    "modern": (
        ["--preset", "modern-32", "--techniques", "packing"],
        "--techniques is no option of preset modern-32, whose loss is modern",
    ),
    "upscaler": (
        ["--preset", "upscale-4x", "--techniques", "packing"],
        "--techniques is no option of preset upscale-4x",
    ),
    "odd-batch": (
        ["--preset", "dcgan-mnist", "--batch", "33", "--techniques", "packing"],
        "packing takes pictures 2 at a time; of a batch of 33 each process has 33",
    ),
}


@pytest.mark.usefixtures("tiny_preset")
@pytest.mark.parametrize("name", REFUSED)
def test_what_a_technique_does_not_fit_is_refused(
    name: str, digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, message = REFUSED[name]
    plain = ["train", "--data", str(digits), "--outdir", str(tmp_path / "runs"), "--device", "cpu"]
    assert main([*plain, *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
