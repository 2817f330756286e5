"""What `benchmarks.recipes` trains: ours by configuration, and peers on the same pictures. What is
random in a step is a function of its number.
"""

import itertools
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import version
from typing import Any
from unittest.mock import Mock, patch

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from model.images import to_pixels
from model.latent_space.latents import sample_latents, sample_rows
from model.networks.families.dcgan import DCGANConfig
from model.samplers.pytorch import plain_sampler
from model.training import ema
from model.training.datasets.batches import WEIGHTS, Batches, examples, stream
from model.training.datasets.dataset import Dataset
from model.training.presets import PRESETS, TrainConfig
from model.training.schedules import cooled
from model.training.train_step import Networks, new_networks, train_step

CPU = torch.device("cpu")


class AbsentError(Exception):
    """A peer cannot be trained here; the message says why."""


@dataclass
class Learner:
    """A recipe at work."""

    record: dict[str, Any]  # what decides its weights, beside the pictures
    batch: int  # images a step
    networks: Networks
    step: Callable[[int, float], None]  # by its number, from 0, and the share of the run before it
    draw: Callable[[range], NDArray[np.uint8]]  # seeds to pictures (N, H, W, C)


def ours(config: TrainConfig, data: Dataset) -> Learner:
    """Returns a configuration of ours, by the steps of the training loop; its average draws."""
    seed, network = int(stream(config.seed, WEIGHTS, 0).integers(2**63)), config.network
    networks = new_networks(config, CPU, seed, examples(data, network.resolution))
    batches = Batches(config, data, CPU)

    def step(number: int, progress: float) -> None:
        share = cooled(progress, 1.0 - config.cooldown, 1.0)
        train_step(networks, replace(batches(number), rate_share=share), config, number)
        seen = (number + 1) * config.batch
        keep = ema.decay(config.batch, seen, config.ema_half_life, config.ema_ramp)
        ema.update(networks.generator_ema, networks.generator, keep)

    def draw(seeds: range) -> NDArray[np.uint8]:
        generator = ema.with_own_statistics(networks.generator_ema, config.prior)
        rows = sample_rows(seeds, network.z_dim, config.prior, network.classes)
        return plain_sampler(generator, config.picture_side, CPU)(rows)

    return Learner(config.record(), config.batch, networks, step, draw)


def dcgan(data: Dataset) -> Learner:
    """Follows PyTorch's DCGAN example (examples/dcgan/main.py): networks, numbers and loop."""
    torch.manual_seed(0)
    batch, z_dim, (side, channels) = 64, 100, data.images.shape[2:]
    widths = [64 << level for level in range((side // 4).bit_length() - 1)]
    up: list[nn.Module] = [nn.ConvTranspose2d(z_dim, widths[-1], 4, 1, 0, bias=False)]
    for wide, narrow in itertools.pairwise([*widths[::-1], channels]):
        convolution = nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=False)
        up += [nn.BatchNorm2d(wide), nn.ReLU(), convolution]
    down: list[nn.Module] = [nn.Conv2d(channels, 64, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    for narrow, wide in itertools.pairwise(widths):
        strided = nn.Conv2d(narrow, wide, 4, 2, 1, bias=False)
        down += [strided, nn.BatchNorm2d(wide), nn.LeakyReLU(0.2)]
    down += [nn.Conv2d(widths[-1], 1, 4, 1, 0, bias=False), nn.Flatten(0)]
    networks = nn.Sequential(*up, nn.Tanh()), nn.Sequential(*down)
    for module in (*up, *down):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d):
            mean = 1.0 if isinstance(module, nn.BatchNorm2d) else 0.0
            nn.init.normal_(module.weight, mean, 0.02)
    adams = [torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999)) for net in networks]
    (generator, discriminator), one, deal = networks, torch.ones(batch), _dealt(data, batch)
    loss = functional.binary_cross_entropy_with_logits

    def step(number: int, _: float) -> None:
        torch.manual_seed(number)
        discriminator.zero_grad()
        torch.autograd.backward(loss(discriminator(deal(number)), one))
        fake = generator(torch.randn(batch, z_dim, 1, 1))
        torch.autograd.backward(loss(discriminator(fake.detach()), 0 * one))
        adams[1].step()
        generator.zero_grad()
        torch.autograd.backward(loss(discriminator(fake), one))
        adams[0].step()

    draw = _drawing(generator, lambda z: generator(z[:, :, None, None]), z_dim)
    return Learner({}, batch, _networks(generator, discriminator, *adams), step, draw)


def lightweight_gan(data: Dataset) -> Learner:
    """Follows lucidrains' lightweight-gan: its networks, losses, optimisers and its command's
    defaults, in a loop as its trainer's, which itself wants CUDA.
    """
    torch.manual_seed(0)
    batch, parts, z_dim, (side, channels) = 40, 4, 256, data.images.shape[2:]
    files: Any = sys.modules.get("torchvision")
    try:
        record = {"version": version("lightweight-gan")}
        sys.modules["torchvision"] = Mock()  # with which it reads and writes files, not here
        with patch("torch.cuda.is_available", return_value=True):
            package: Any = import_module("lightweight_gan.lightweight_gan")
    except ImportError as error:
        raise AbsentError(f"not installed: {error}") from None
    finally:
        sys.modules["torchvision"] = files  # None: as if it were not installed
    package.Blur = nn.Identity  # as its trainer does
    shape = {"image_size": side, "greyscale": channels == 1, "attn_res_layers": [32]}
    with patch.object(nn.Module, "cuda", lambda self, rank: self):
        gan = package.LightweightGAN(latent_dim=z_dim, disc_output_size=1, **shape)
    chance = max(0.0, min(0.5, (1e5 - len(data)) * 3e-6))
    judge, augment = gan.D_aug, {"prob": chance, "types": ["cutout", "translation"]}
    hinge, deal = package.hinge_loss, _dealt(data, batch)

    def step(number: int, _: float) -> None:
        torch.manual_seed(number)
        random.seed(number)
        penalised = number % 4 == 0
        wish = {"detach": True, "input_requires_grad": penalised, "return_discr_input": True}
        gan.D_opt.zero_grad()
        for real in deal(number).add(1).div(2).chunk(parts):
            real = real.clone().requires_grad_(penalised)
            with torch.no_grad():
                fake = gan.G(torch.randn(len(real), z_dim))
            fake, (fake_logits, fake_32, _) = judge(fake, **wish, **augment)
            real_logits, real_32, loss = judge(real, calc_aux_loss=True, **augment)
            loss = loss + hinge(real_logits, fake_logits) + hinge(real_32, fake_32)
            if penalised:
                sums = (real_logits.sum() + real_32.sum(), fake_logits.sum() + fake_32.sum())
                slopes = torch.autograd.grad(sums, (real, fake), create_graph=True)
                loss = loss + 10 * torch.cat(slopes).square().sum((1, 2, 3)).mean()
            torch.autograd.backward(loss / parts)
        gan.D_opt.step()
        gan.G_opt.zero_grad()
        for _ in range(parts):
            logits, logits_32, _ = judge(gan.G(torch.randn(batch // parts, z_dim)), **augment)
            torch.autograd.backward((logits.mean() + logits_32.mean()) / parts)
        gan.G_opt.step()

    draw = _drawing(gan.G, lambda z: gan.G(z).clamp(0, 1) * 2 - 1, z_dim)
    networks = _networks(gan.G, gan.D, gan.G_opt, gan.D_opt)
    return Learner(record, batch, networks, step, draw)


def _networks(generator: Any, discriminator: Any, *optimizers: Any) -> Networks:
    """Puts somebody else's into the record of ours; they have no average."""
    average: Any = nn.Identity()
    generator_optimizer, discriminator_optimizer = optimizers
    return Networks(
        generator,
        discriminator,
        average,
        generator_optimizer=generator_optimizer,
        discriminator_optimizer=discriminator_optimizer,
    )


def _dealt(data: Dataset, batch: int) -> Callable[[int], Tensor]:
    """Returns real images of a step, in the order that ours are dealt in."""
    network = DCGANConfig(resolution=data.images.shape[1], channels=data.images.shape[3])
    config = replace(PRESETS["dcgan-svhn"].config, network=network, batch=batch)
    batches = Batches(config, data, CPU)
    return lambda number: batches(number).real


def _drawing(
    generator: nn.Module, picture: Callable[[Tensor], Tensor], z_dim: int
) -> Callable[[range], NDArray[np.uint8]]:
    """Draws by the running statistics of batch norms: no picture depends on another."""

    def draw(seeds: range) -> NDArray[np.uint8]:
        z = torch.from_numpy(sample_latents(seeds, z_dim, "normal"))
        generator.eval()
        with torch.inference_mode(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            pictures = torch.cat([picture(part) for part in z.split(25)]).numpy()
        generator.train()
        return to_pixels(pictures)

    return draw
