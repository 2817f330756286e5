"""A generator for use from Python, under the names that people know.

    generator = PretrainedGenerator.from_pretrained("mnist")         zoo, folder, or owner/name
    generator.generate([0, 1, 2])                                    (3, 28, 28, 1) uint8, as served
    generator(torch.randn(3, generator.z_dim))                       (3, 1, 28, 28) in [-1, 1]

Pixels come from the runtime that serves them, floats from the network, with gradients where they
are asked for. Its weights stay as they are: training writes new files.
"""

import importlib
import shutil
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from model.devices import Precision, usable_cores
from model.files import whole
from model.generator_file import FILES, GeneratorFileError, read_generator_file
from model.generators import generator_folder
from model.picture_request import Changes, Output
from model.recipe_reader import from_words
from model.recipes import RecipeError, class_place
from model.samplers.pytorch import load_generator, resolve_device
from model.upscaling.runtimes import UpscalingSampler

GENERATED_AT_ONCE = 64


class PretrainedGenerator:
    """A checked model folder and its network, on a device."""

    def __init__(self, folder: Path, device: str = "auto", precision: Precision = "fp32") -> None:
        """Reads a model folder and loads its network.

        Raises:
            GeneratorFileError: the file is not sound.
            DeviceError: the device is unknown or not on this machine.
        """
        self.folder, self.file = folder, read_generator_file(folder)
        self.config = self.file.config
        self.z_dim = self.config.network.z_dim
        self.classes = self.config.classes
        self.side, self.channels = self.config.crop, self.config.network.channels
        self.device = resolve_device(device)
        self.network = load_generator(self.file).to(self.device).eval().requires_grad_(False)
        self._precision = precision

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        revision: str | None = None,
        device: str = "auto",
        precision: Precision = "fp32",
    ) -> "PretrainedGenerator":
        """Loads from the zoo, a folder, or the Hugging Face Hub: owner/name, at a commit, a tag or
        a branch, by default main.

        Raises:
            GeneratorFileError: there is none, or it is not sound.
            DeviceError: the device is unknown or not on this machine.
        """
        text = str(name)
        here = generator_folder(text) if revision is None else Path(text)
        if here.is_dir():
            if revision is not None:
                raise GeneratorFileError(f"{text}: a folder has no revision {revision}")
            return cls(here, device, precision)
        if text.count("/") != 1:
            raise GeneratorFileError(
                f"{text}: neither a folder, nor in the zoo, nor owner/name at the Hub"
            )
        # imported by name: the Hub's library costs time and memory, and few want it
        hub = importlib.import_module(".hub", __package__)
        return cls(hub.fetch_newest(text, revision or "main"), device, precision)

    def __repr__(self) -> str:
        return f"PretrainedGenerator({self.config.id}, {self.device})"

    def __call__(self, z: Tensor, class_: str | int | None = None) -> Tensor:
        """Generates images (N, C, side, side), about [-1, 1], of latents (N, z_dim) of one class,
        or of whole rows (N, z_dim + classes).

        Raises:
            RecipeError: the rows have another length, or the class is not there, or not said.
        """
        rows = self._whole_rows(z.to(self.device), class_)
        images: Tensor = self.network(rows)
        margin = (images.shape[-1] - self.side) // 2
        return images[:, :, margin : margin + self.side, margin : margin + self.side]

    def rows(self, seeds: Sequence[int], class_: str | int | None = None) -> NDArray[np.float32]:
        """Makes the network's input (N, z_dim + classes) of seeds, each of its own class or all of
        one.

        Raises:
            RecipeError: the class is not there.
        """
        return self.config.rows(seeds, None if class_ is None else self._place(class_))

    def generate(
        self,
        seeds: Sequence[int],
        class_: str | int | None = None,
        *,
        truncation: float = 1.0,
    ) -> NDArray[np.uint8]:
        """Generates the pictures (N, side, side, C) that a service serves for these seeds.

        Raises:
            RecipeError: the class is not there.
        """
        name = None if class_ is None else self.classes[self._place(class_)]
        return self._pixels(Changes(name, truncation).rows(self.file, seeds))

    def draw(self, recipe: Mapping[str, Any]) -> NDArray[np.uint8]:
        """Generates the picture (H, W, C) of a recipe, such as `model.encoding.marking.read_recipe`
        finds in a file: what the service generated.

        Raises:
            RecipeError: it is of another generator, or not of one picture or of a sheet of seeds.
        """
        request = from_words(self.file, recipe)
        rows = request.source.rows(self.file, request.changes)
        return request.finish(self._pixels(rows, request.output.upscale))

    def upscale(self, pixels: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
        """Enlarges pictures (N, H, W, C) by the generator's upscaler, (N, scale H, scale W, C).

        Raises:
            RecipeError: it has none, or none for this scale.
        """
        output = Output(scale, "learned").checked(self.file)
        return pixels if output.is_plain else self._sampler.upscale(pixels, scale)

    def _pixels(self, rows: NDArray[np.float32], scale: int = 1) -> NDArray[np.uint8]:
        parts = [
            self._sampler(rows[start : start + GENERATED_AT_ONCE], scale)
            for start in range(0, max(1, len(rows)), GENERATED_AT_ONCE)
        ]
        return np.concatenate(parts)

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes the model folder into a folder, byte for byte as it was read.

        Raises:
            OutputError: it cannot be written.
        """
        target = Path(folder)
        if target.exists() and target.samefile(self.folder):
            return
        for name in FILES:
            if (self.folder / name).is_file():
                with whole(target / name) as temporary:
                    shutil.copyfile(self.folder / name, temporary)
            else:
                (target / name).unlink(missing_ok=True)  # another generator's

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool = False,
        token: str | None = None,
        commit_message: str | None = None,
    ) -> str:
        """Uploads the model folder to owner/name at the Hugging Face Hub, which is made where
        there is none; returns the commit's address.

        Raises:
            GeneratorFileError: the extra 'hub' is not installed, or the Hub refuses.
        """
        hub = importlib.import_module(".hub", __package__)
        address: str = hub.push(
            self.folder, repo_id, private=private, token=token, message=commit_message
        )
        return address

    @cached_property
    def _sampler(self) -> UpscalingSampler:
        return UpscalingSampler(self.file, str(self.device), self._precision, usable_cores())

    def _place(self, class_: str | int) -> int:
        return class_place(self.config, str(class_))

    def _whole_rows(self, z: Tensor, class_: str | int | None) -> Tensor:
        count = len(self.classes)
        if z.shape[1:] == (self.z_dim + count,) and class_ is None:
            return z
        if z.shape[1:] != (self.z_dim,):
            raise RecipeError(f"z is {tuple(z.shape)}; (N, {self.z_dim}) is wanted")
        if class_ is None:
            raise RecipeError(f"class: {self.config.name} has {', '.join(self.classes)}: say which")
        place = torch.full((len(z),), self._place(class_), device=z.device)
        return torch.cat([z, functional.one_hot(place, count).to(z.dtype)], dim=1)
