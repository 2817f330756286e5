"""Networks of classifiers by their layout, in PyTorch.

images (N, C, H, W) in [-1, 1] -> features (N, F) -> logits (N, classes)
"""

import itertools
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from model.classification.classifier_file import ClassifierFile
from model.classification.config import ClassifierConfig
from model.classification.layouts import FEATURES, convolutional_steps, plan
from model.networks.graph import LEAKY_SLOPE


class Classifier(nn.Module):
    """The network of the dense and of the folded layout, see `layouts.Plan`."""

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        planned = plan(config)
        self.config = config
        self._fold, self._poolings = planned.fold, planned.poolings
        widths = planned.widths
        self.convolutions = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in itertools.pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths[1:])
        self.features = nn.Linear(widths[-1] * planned.side**2, FEATURES)
        self.logits = nn.Linear(FEATURES, len(config.classes)) if config.classes else None
        layers = sum(config.parts.values())
        self.parts = nn.Linear(FEATURES, layers) if layers else None  # slot after slot

    def embed(self, images: Tensor) -> Tensor:
        """Computes features (N, 128) of images (N, C, H, W) in [-1, 1]."""
        x = self._folded(images) if self._fold else images
        for level, (convolution, norm) in enumerate(
            zip(self.convolutions, self.norms, strict=True)
        ):
            x = functional.relu(norm(convolution(x)))
            x = functional.max_pool2d(x, 2) if level < self._poolings else x
        features: Tensor = self.features(x.flatten(1))
        # behind a ReLU most of the features of the folded layout die while it learns
        return features if self._fold else functional.relu(features)

    def _folded(self, images: Tensor) -> Tensor:
        missing = -images.shape[2] % self._fold
        x = functional.pad(images, (0, missing, 0, missing), mode="replicate")
        x = functional.pixel_unshuffle(x, self._fold)
        return x.contiguous(memory_format=torch.channels_last)  # quicker

    def forward(self, images: Tensor) -> Tensor:
        """Maps images (N, C, H, W) in [-1, 1] to logits (N, classes)."""
        return self.classify(self.embed(images))

    def classify(self, features: Tensor) -> Tensor:
        """Maps features (N, 128) to logits (N, classes)."""
        if self.logits is None:
            return features[:, :0]
        logits: Tensor = self.logits(features)
        return logits

    def probabilities(self, features: Tensor) -> Tensor:
        """Computes the probability of each class, (N, classes)."""
        return self.classify(features).softmax(1)


class MLP(nn.Module):
    """Dense layers, with a ReLU behind all but the last."""

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        widths = (config.channels * config.side**2, *config.widths, len(config.classes))
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))

    def forward(self, images: Tensor) -> Tensor:
        """Maps images (N, C, H, W) in [-1, 1] to logits (N, classes)."""
        x = images.flatten(1)
        *hidden, last = self.layers
        for layer in hidden:
            x = functional.relu(layer(x))
        logits: Tensor = last(x)
        return logits


class Convolutional(nn.Module):
    """The network of the convolutional layout, see `layouts.convolutional_steps`."""

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        steps = convolutional_steps(config.channels, config.widths)
        convolutions: list[nn.Module] = [
            nn.Conv2d(step.before, step.after, step.kernel, step.stride, step.padding)
            for step in steps
        ]
        last = nn.Linear(config.widths[-1], len(config.classes))
        self.layers = nn.ModuleList([*convolutions, last])

    def forward(self, images: Tensor) -> Tensor:
        """Maps images (N, C, H, W) in [-1, 1] to logits (N, classes)."""
        x = images
        *convolutions, last = self.layers
        for layer in convolutions:
            x = functional.leaky_relu(layer(x), LEAKY_SLOPE)
        logits: Tensor = last(x.mean((2, 3)))
        return logits


NETWORKS: dict[str, type[Any]] = {
    "dense": Classifier,
    "folded": Classifier,
    "mlp": MLP,
    "convolutional": Convolutional,
}


def new_classifier(config: ClassifierConfig) -> Any:
    """Makes the network of a configuration before its first step."""
    return NETWORKS[config.layout](config)


def load_classifier(file: ClassifierFile) -> Any:
    """Makes the network of a checked file, with its weights."""
    network = new_classifier(file.config)
    network.load_state_dict({name: torch.tensor(value) for name, value in file.weights.items()})
    return network


def classifier_weights(network: nn.Module) -> dict[str, NDArray[Any]]:
    """Returns the tensors that a file holds, by name."""
    return {
        name: value.detach().cpu().contiguous().numpy()
        for name, value in network.state_dict().items()
    }
