"""The network behind the public metrics: Inception v3 with FID's own weights, by torch-fidelity.

    pixels (N, H, W, C) uint8 -> 2,048 features

Neither is part of this project: the library is the extra `fidelity`, and the weights are looked for
where torch-fidelity keeps them. Nothing is downloaded here.
"""

import hashlib
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.mistakes import install
from model.training.evaluation.features import ExtractorError

WEIGHTS = "weights-inception-2015-12-05-6726825d.pth"
WEIGHTS_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
WEIGHTS_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{WEIGHTS}"
MODULE = "torch_fidelity.feature_extractor_inceptionv3"
LAYER = "2048"  # the pooled features that FID and KID are computed from
BATCH = 64


class Inception:
    """Pictures of any size to 2,048 features; it resizes them to 299x299 as the TensorFlow graph
    did, and looks at grey ones as RGB. Source: Heusel et al. (2017).
    """

    name = f"inception-{WEIGHTS_SHA256[:8]}"
    classes: tuple[str, ...] = ()
    test_accuracy = 0.0

    def __init__(self, network: torch.nn.Module, device: torch.device) -> None:
        self._network, self._device = network.to(device), device

    def __call__(
        self, pixels: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Returns features (N, 2048), and probabilities of no classes (N, 0)."""
        features = []
        with torch.inference_mode():
            for start in range(0, len(pixels), BATCH):
                part = torch.from_numpy(pixels[start : start + BATCH]).to(self._device)
                images = part.permute(0, 3, 1, 2).expand(-1, 3, -1, -1)
                embedded: Tensor = self._network(images)[0]
                features.append(embedded.float().cpu().numpy())
        return np.concatenate(features), np.empty((len(pixels), 0), np.float32)


def load_inception(device: torch.device) -> Inception:
    """Loads the network, if it is on this machine.

    Raises:
        ExtractorError: torch-fidelity or the weights are missing, or the weights are not FID's.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS
    try:
        module: Any = importlib.import_module(MODULE)
    except (ImportError, RuntimeError) as error:  # the second: a torchvision of another torch
        raise ExtractorError(
            f"Inception needs torch-fidelity ({error}); {install('fidelity')}"
        ) from None
    if not path.is_file():
        raise ExtractorError(f"{path}: Inception's weights are missing; they are at {WEIGHTS_URL}")
    # checked before torch-fidelity unpacks it, since such a file could run code
    if hashlib.sha256(path.read_bytes()).hexdigest() != WEIGHTS_SHA256:
        raise ExtractorError(f"{path}: not Inception's weights: its SHA-256 is another")
    network = module.FeatureExtractorInceptionV3(
        "inception-v3-compat", [LAYER], feature_extractor_weights_path=str(path)
    )
    return Inception(network, device)
