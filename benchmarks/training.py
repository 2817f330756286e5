"""Training beside the plain loop: `python -m benchmarks.training`.

The article's networks, batch and objective, once as the DCGAN example of PyTorch writes a loop
(pictures through a DataLoader, float32, each loss by its own backward pass, all gradients of the
discriminator computed in the generator's update too, Adam) and once as ours. Pictures are noise, of
the set's size: what they show changes no time. Both are measured in turns.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from statistics import median

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.results import this_machine
from model.networks.pytorch import new_discriminator, new_generator
from model.training import ema
from model.training.datasets import dataset as data
from model.training.datasets.batches import Batches
from model.training.presets import PRESETS, TrainConfig
from model.training.train_step import new_networks, train_step

PICTURES = 12_800
Step = Callable[[], object]


class Pictures(Dataset[Tensor]):
    """Pictures as torchvision's data sets hand them over: resized and scaled one by one."""

    def __init__(self, pixels: np.ndarray, side: int) -> None:
        self._pixels, self._side = pixels, side

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, index: int) -> Tensor:
        """Returns (C, side, side) in [-1, 1]."""
        image = Image.fromarray(self._pixels[index].squeeze())
        image = image.resize((self._side, self._side), Image.Resampling.BILINEAR)
        values = torch.from_numpy(np.array(image)).float() / 255
        return ((values if values.dim() == 3 else values[..., None]).permute(2, 0, 1) - 0.5) / 0.5


def plain_steps(config: TrainConfig, pixels: np.ndarray, device: torch.device) -> Step:
    """Takes a step of the plain loop."""
    generator = new_generator(config.network).to(device)
    discriminator = new_discriminator(config.network).to(device)
    criterion = nn.BCEWithLogitsLoss()
    adams = [
        torch.optim.Adam(network.parameters(), config.learning_rate, config.betas)
        for network in (generator, discriminator)
    ]
    pictures = Pictures(pixels, config.network.resolution)
    loader = DataLoader(pictures, config.batch, shuffle=True, drop_last=True, num_workers=2)

    def endless() -> Iterator[Tensor]:
        while True:
            yield from loader

    batches = endless()

    def step() -> tuple[float, float]:
        real = next(batches).to(device)
        label = torch.full((len(real),), 1 - config.label_smoothing, device=device)
        discriminator.zero_grad()
        real_loss = criterion(discriminator(real), label)
        real_loss.backward()
        z = torch.rand(len(real), config.network.z_dim, device=device) * 2 - 1
        fake = generator(z)
        fake_loss = criterion(discriminator(fake.detach()), torch.zeros_like(label))
        fake_loss.backward()
        adams[1].step()
        for update in range(config.generator_updates):
            generator.zero_grad()
            images = fake if update == 0 else generator(z)
            loss = criterion(discriminator(images), torch.ones_like(label))
            loss.backward()
            adams[0].step()
        return (real_loss + fake_loss).item(), loss.item()

    return step


def our_steps(config: TrainConfig, pixels: np.ndarray, device: torch.device) -> Step:
    """Takes a step of ours, with the average that the plain loop has not."""
    networks = new_networks(config, device, seed=0)
    batches = Batches(config, data.Dataset(name="noise", images=pixels, labels=None), device)
    steps = iter(range(10**9))

    def step() -> object:
        number = next(steps)
        stats = train_step(networks, batches(number), config, number)
        ema.update(networks.generator_ema, networks.generator, 0.99)
        if number % 10 == 0:  # as the log does
            return [value.item() for value in stats.values()]
        return None

    return step


def measure(
    preset: str, precisions: list[str], rounds: int, seconds: float, device: torch.device
) -> dict[str, float]:
    """Measures images a second of each way, the median of the rounds."""
    config = PRESETS[preset].config
    shape = (PICTURES, config.picture_side, config.picture_side, config.network.channels)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    ways = {"plain": plain_steps(config, pixels, device)}
    for precision in precisions:
        ours = replace(config, bf16=precision == "bf16")
        ways[f"ours, {precision}"] = our_steps(ours, pixels, device)
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for step in ways.values():
        for _ in range(3):
            step()
    for _ in range(rounds):
        for name, step in ways.items():
            rates[name].append(config.batch * _rate(step, seconds, device))
    return {name: median(found) for name, found in rates.items()}


def _rate(step: Step, seconds: float, device: torch.device) -> float:
    count, start = 0, time.perf_counter()
    while time.perf_counter() < start + seconds:
        step()
        count += 1
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return count / (time.perf_counter() - start)


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description="How fast is training beside the plain loop?")
    parser.add_argument("--presets", default="dcgan-mnist,dcgan-svhn")
    parser.add_argument("--precisions", default="fp32,bf16")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each way in each round")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    machine, device = this_machine(), torch.device(options.device)
    processor = torch.cuda.get_device_name(device) if device.type == "cuda" else machine.processor
    print(
        f"{processor}, {torch.get_num_threads()} threads, torch {torch.__version__}, load average "
        f"{machine.load_average:.1f} before\n\n| preset | loop | images/s | over plain |\n"
        "| --- | --- | --- | --- |"
    )
    for preset in options.presets.split(","):
        found = measure(
            preset, options.precisions.split(","), options.rounds, options.seconds, device
        )
        for name, rate in found.items():
            print(f"| {preset} | {name} | {rate:.0f} | {rate / found['plain']:.2f}x |", flush=True)


if __name__ == "__main__":
    main()
