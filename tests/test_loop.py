"""The training loop: the order of updates, the log, and resuming to the very bytes."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from model.generator_file import read_generator_file
from model.training import generator_task, loop
from model.training.datasets.dataset import Dataset, load
from model.training.evaluation.features import Extractor, to_input
from model.training.evaluation.measure import Reference, reference
from model.training.losses import discriminator_loss, generator_loss
from model.training.presets import PRESETS, TrainConfig
from model.training.run import checkpoint
from model.training.task import Stats
from model.training.train_step import (
    Batch,
    Networks,
    article_step,
    new_networks,
    train_step,
)
from tests.tiny_runs import CONFIG, CPU, EPOCH, IMAGES, SCHEDULE, final_bytes, make_run


@pytest.fixture(scope="module")
def data(digits: Path) -> Dataset:
    return load(digits, "train", side=28, channels=1)


def batch_of(count: int = 8) -> Batch:
    random = torch.Generator().manual_seed(0)
    real = torch.rand(count, 1, 32, 32, generator=random) * 2 - 1
    z = torch.rand(count, 8, generator=random) * 2 - 1
    return Batch(real=real, classes=torch.empty(count, 0), rows=z, generator_rows=z)


@pytest.mark.parametrize("name", ["dcgan-svhn", "dcgan-mnist"])
def test_presets_have_the_articles_numbers(name: str) -> None:
    preset = PRESETS[name]
    config = preset.config
    assert (config.batch, config.learning_rate, config.betas) == (128, 2e-4, (0.5, 0.999))
    assert (config.label_smoothing, config.generator_updates, config.prior) == (0.1, 2, "uniform")
    assert (config.network.z_dim, config.split, preset.epochs) == (100, "train", 25)
    assert (config.ema_half_life, config.ema_ramp) == (10_000, 0.05)
    wanted = {"dcgan-svhn": (3, 32), "dcgan-mnist": (1, 28)}[name]
    assert (config.network.channels, config.picture_side) == wanted


def test_optimisers_are_two_adams_with_the_articles_numbers() -> None:
    networks = new_networks(CONFIG, CPU, 0)
    for optimizer in (networks.generator_optimizer, networks.discriminator_optimizer):
        assert isinstance(optimizer, torch.optim.Adam)
        (group,) = optimizer.param_groups
        assert (group["lr"], group["betas"], group["eps"]) == (2e-4, (0.5, 0.999), 1e-8)
        assert group["weight_decay"] == 0


def test_one_discriminator_update_then_two_of_the_generator_on_the_same_z(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    networks = new_networks(CONFIG, CPU, 0)
    order: list[str] = []

    def spy(name: str, step: Callable[[], None]) -> Callable[[], None]:
        def recorded() -> None:
            order.append(name)
            step()

        return recorded

    for name, optimizer in (
        ("D", networks.discriminator_optimizer),
        ("G", networks.generator_optimizer),
    ):
        monkeypatch.setattr(optimizer, "step", spy(name, optimizer.step))
    latents: list[torch.Tensor] = []
    networks.generator.register_forward_pre_hook(lambda _, inputs: latents.append(inputs[0]))
    batch = batch_of()
    article_step(networks, batch, CONFIG, 0)
    assert order == ["D", "G", "G"]
    assert all(torch.equal(latent, batch.rows) for latent in latents)


def test_real_and_generated_images_are_separate_batches() -> None:
    networks = new_networks(CONFIG, CPU, 0)
    sizes: list[int] = []
    networks.discriminator.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    article_step(networks, batch_of(), CONFIG, 0)
    assert sizes == [8, 8, 8, 8]  # real, generated, and once for each update of the generator


def test_step_equals_the_notebooks_written_out() -> None:
    """Takes the same steps with every forward pass made anew, as the notebook's graph does."""
    ours, plain = new_networks(CONFIG, CPU, 0), new_networks(CONFIG, CPU, 0)
    batch = batch_of()
    real, z = batch.real, batch.rows
    for _ in range(2):
        article_step(ours, batch, CONFIG, 0)
        with torch.no_grad():
            fake = plain.generator(z)
        loss = discriminator_loss(plain.discriminator(real), plain.discriminator(fake), 0.1)
        plain.discriminator_optimizer.zero_grad()
        loss.backward()
        plain.discriminator_optimizer.step()
        for _ in range(2):
            loss = generator_loss(plain.discriminator(plain.generator(z)))
            plain.generator_optimizer.zero_grad()
            loss.backward()
            plain.generator_optimizer.step()
    for name in ("generator", "discriminator"):
        found, wanted = getattr(ours, name), getattr(plain, name)
        for a, b in zip(found.parameters(), wanted.parameters(), strict=True):
            assert torch.allclose(a, b, atol=1e-6)


def weights(network: torch.nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in network.parameters()]


def test_each_player_moves_only_on_its_own_updates() -> None:
    whole, half = new_networks(CONFIG, CPU, 0), new_networks(CONFIG, CPU, 0)
    before = weights(half.generator)
    article_step(whole, batch_of(), CONFIG, 0)
    with pytest.raises(UnboundLocalError):  # no generator loss to report without its updates
        article_step(half, batch_of(), replace(CONFIG, generator_updates=0), 0)
    pairs = zip(before, weights(half.generator), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)  # the discriminator's update left it alone
    pairs = zip(weights(whole.discriminator), weights(half.discriminator), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)  # and so did the generator's two
    pairs = zip(before, weights(whole.generator), strict=True)
    assert not any(torch.equal(a, b) for a, b in pairs if a.any())


@pytest.fixture(scope="module")
def real(classifier: Extractor, digits: Path) -> Reference:
    return reference(classifier, load(digits, "test", side=28, channels=1))


@pytest.fixture(scope="module")
def unbroken(data: Dataset, real: Reference, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "unbroken"
    run = make_run(folder, data, real=real)
    assert loop.train(run, stop=lambda: False)
    return folder


def rows(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_log_holds_both_losses_and_both_means(unbroken: Path) -> None:
    stats = rows(unbroken / "stats.jsonl")
    assert [row["images_seen"] for row in stats] == [64 * i for i in range(1, 11)]
    for row in stats:
        assert {"loss_d", "loss_g", "d_real", "d_fake"} < row.keys()
        assert 0 <= row["d_real"] <= 1
        assert 0 <= row["d_fake"] <= 1
    assert list((unbroken / "tensorboard").glob("events*"))


def test_grids_are_6x6_named_by_images_seen_and_begin_untrained(
    unbroken: Path, data: Dataset
) -> None:
    names = sorted(path.name for path in (unbroken / "grids").glob("[0-9]*"))
    assert names == [
        "000000000.png",
        "000000160.png",
        "000000320.png",
        "000000480.png",
        "000000640.png",
    ]
    with Image.open(unbroken / "grids" / names[-1]) as grid:
        assert grid.size == (6 * 28, 6 * 28)
    with Image.open(unbroken / "reals.png") as reals:
        assert reals.size == (6 * 28, 6 * 28)
        shown = np.asarray(reals).reshape(6, 28, 6, 28).swapaxes(1, 2)
    assert np.array_equal(shown[0, 0], data.images[0, ..., 0])
    assert np.array_equal(shown[5, 5], data.images[-1, ..., 0])


def test_quality_is_measured_each_epoch_and_the_best_is_kept(unbroken: Path) -> None:
    metrics = rows(unbroken / "metrics.jsonl")
    assert [row["images_seen"] for row in metrics] == [320, 640]
    seen, name, *others = metrics[0]
    assert seen == "images_seen"
    assert name.startswith("frechet200_test240_digits-classifier-")
    assert [other.split("_")[0] for other in others] == [
        "kid",
        "precision",
        "recall",
        "density",
        "coverage",
    ]
    best = min(metrics, key=lambda row: row[name])
    kept = read_generator_file(unbroken / "best").config
    assert kept.images_seen == best["images_seen"]
    assert kept.metrics[name] == best[name]
    assert read_generator_file(unbroken / "last").config.images_seen == 640


def test_snapshot_states_its_figures_on_its_card(unbroken: Path) -> None:
    figures = read_generator_file(unbroken / "best").config.metrics
    card = (unbroken / "best" / "README.md").read_text()
    assert len(figures) == 6
    assert all(f"| `{name}` | {value:g} |" in card for name, value in figures.items())


@pytest.mark.parametrize(
    ("earlier", "beaten"),
    [
        pytest.param({}, False, id="of-a-checkpoint-that-names-none"),
        pytest.param({"name": "frechet5k_test10k_other-selfsup-01234567"}, True, id="other"),
    ],
)
def test_best_is_beaten_by_figures_of_its_own_protocol_alone(
    data: Dataset, real: Reference, tmp_path: Path, earlier: dict[str, str], beaten: bool
) -> None:
    run = make_run(tmp_path / "run", data, real=real)
    assert not loop.train(run, stop=lambda: True)
    (path,) = checkpoint.newest_first(run.folder / "checkpoints")[:1]
    found = checkpoint.read_checkpoint(path)
    found.state["best"] = {**earlier, "figure": 0.0, "images_seen": 0}
    checkpoint.write_checkpoint(run.folder / "checkpoints", found)
    assert loop.train(run, stop=lambda: False)
    assert (run.folder / "best").exists() is beaten


def test_generator_file_says_where_it_comes_from(unbroken: Path, data: Dataset) -> None:
    config = read_generator_file(unbroken / "last").config
    assert (config.preset, config.prior, config.crop) == ("dcgan-mnist", "uniform", 28)
    assert (config.data.name, config.data.split, config.data.images) == ("digits", "train", 320)


@pytest.fixture(scope="module")
def unmeasured(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_run(tmp_path_factory.mktemp("runs") / "unmeasured", data)
    assert loop.train(run, stop=lambda: False)
    return run.folder


@pytest.mark.parametrize("steps", [1, 7, EPOCH, 13])
def test_resumed_run_equals_unbroken_run(
    data: Dataset, unmeasured: Path, tmp_path: Path, steps: int
) -> None:
    """Stopped after some steps and started again: the same weights, moments and log, to the bit."""
    run = make_run(tmp_path / "run", data)
    asked = iter([False] * (steps - 1) + [True])
    assert not loop.train(run, stop=lambda: next(asked))
    assert checkpoint.read_checkpoint(
        checkpoint.newest_first(run.folder / "checkpoints")[0]
    ).images_seen == (steps * 32)
    assert loop.train(run, stop=lambda: False)
    assert final_bytes(run.folder) == final_bytes(unmeasured)

    def without_speed(path: Path) -> list[dict[str, float]]:
        return [{k: v for k, v in row.items() if k != "images_per_second"} for row in rows(path)]

    # a row covers the steps since the last row or resume, so the one in which the run stopped
    # differs
    found, wanted = (without_speed(f / "stats.jsonl") for f in (run.folder, unmeasured))
    assert [row["images_seen"] for row in found] == [row["images_seen"] for row in wanted]
    assert found[-1] == wanted[-1]


def test_run_goes_on_from_the_checkpoint_before_a_damaged_one(
    data: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "run", data, schedule=replace(SCHEDULE, checkpoint_seconds=0.0))
    assert loop.train(run, stop=lambda: False)
    whole = final_bytes(run.folder)
    newest = checkpoint.newest_first(run.folder / "checkpoints")[0]
    newest.write_bytes(newest.read_bytes()[:-100])
    assert loop.train(run, stop=lambda: False)
    assert "damaged" in capsys.readouterr().out
    assert final_bytes(run.folder) == whole
    images_seen = [row["images_seen"] for row in rows(run.folder / "stats.jsonl")]
    assert images_seen == sorted(set(images_seen))


def test_finished_run_stays_as_it_is_and_a_longer_one_goes_on(
    data: Dataset, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run", data)
    loop.train(run, stop=lambda: False)
    before = final_bytes(run.folder)
    loop.train(run, stop=lambda: False)
    assert final_bytes(run.folder) == before
    longer = replace(run, schedule=replace(SCHEDULE, images=IMAGES + 64))
    loop.train(longer, stop=lambda: False)
    assert rows(run.folder / "stats.jsonl")[-1]["images_seen"] == IMAGES + 64


def test_run_that_diverges_ends_with_a_reason(data: Dataset, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", data, config=replace(CONFIG, learning_rate=1e30))
    with pytest.raises(loop.TrainingError, match="not finite"):
        loop.train(run, stop=lambda: False)


def test_too_few_pictures_for_a_batch_are_refused(data: Dataset, tmp_path: Path) -> None:
    few = replace(data, images=data.images[:31])
    with pytest.raises(loop.TrainingError, match="fewer than one batch"):
        loop.train(make_run(tmp_path / "run", few), stop=lambda: False)


def test_every_picture_is_seen_once_an_epoch_in_a_new_order(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []
    real_step = train_step

    def spy(networks: Networks, batch: Batch, config: TrainConfig, step: int) -> Stats:
        seen.append(batch.real.numpy())
        return real_step(networks, batch, config, step)

    monkeypatch.setattr(generator_task, "train_step", spy)
    loop.train(make_run(tmp_path / "run", data), stop=lambda: False)
    keys = [picture.tobytes() for batch in seen for picture in batch]
    first, second = keys[:320], keys[320:]
    assert len(set(first)) == 320
    assert set(first) == set(second)
    assert first != second
    padded = np.pad(data.images, ((0, 0), (2, 2), (2, 2), (0, 0)))
    assert {picture.tobytes() for picture in to_input(torch.from_numpy(padded)).numpy()} == set(
        first
    )


def test_bf16_keeps_weights_and_losses_in_float32() -> None:
    networks = new_networks(CONFIG, CPU, 0)
    stats = article_step(networks, batch_of(), replace(CONFIG, bf16=True), 0)
    assert {value.dtype for value in stats.values()} == {torch.float32}
    assert {p.dtype for p in networks.generator.parameters()} == {torch.float32}
