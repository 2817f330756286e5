"""A classifier on the CPU: its weights as an ONNX graph, run by ONNX Runtime. No torch.

    pixels (N, side, side, C) uint8 -> [-1, 1] -> the layout's layers -> logits (N, classes)

A picture's logits depend on nothing that shares its batch: `check_classifier` sees to it before
anything is served.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from model.classification.classifier_file import ClassifierFile, Classify, golden_pictures
from model.classification.layouts import LAYOUTS
from model.images import HALF_RANGE
from model.networks.graph import Graph
from model.samplers.onnx import Runtime, in_parts
from model.samplers.onnx_graph import picture_batch, serialised
from model.samplers.sampler import UnequalBytesError, WrongPictureError

GOLDEN_ERROR = 0.01  # that a logit may be off: so much, and so much of its size


class OnnxClassifier:
    """A classifier with classes, float32."""

    def __init__(self, file: ClassifierFile, threads: int = 1) -> None:
        self._classes = len(file.config.classes)
        self._runtime = Runtime(classifier_graph(file), threads, _logits, "classifier")

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Computes logits (N, classes) of pictures (N, side, side, C); N is any number from 0."""
        return self._runtime(pixels) if len(pixels) else np.empty((0, self._classes), np.float32)


def _logits(session: Any, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return in_parts(session, "pixels", pixels, "logits")


def classifier_graph(file: ClassifierFile) -> bytes:
    """Serialises the model of a checked file."""
    config = file.config
    graph = Graph(file.weights)
    x = graph.add("Cast", "pixels", to=TensorProto.FLOAT)
    x = graph.add("Transpose", x, perm=[0, 3, 1, 2])
    x = graph.add("Div", x, np.array(HALF_RANGE, np.float32))
    x = graph.add("Sub", x, np.array(1, np.float32))
    LAYOUTS[config.layout].build(config, graph, x)
    pixels = picture_batch("pixels", config.side, config.side, config.channels)
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", len(config.classes)])
    return serialised(graph, "classifier", pixels, logits)


def check_classifier(classify: Classify, file: ClassifierFile, batches: Sequence[int]) -> None:
    """Classifies some pictures alone and in batches of each of these sizes, and those whose logits
    the file remembers.

    Raises:
        UnequalBytesError: a picture's logits depend on its batch.
        WrongPictureError: the logits that the file remembers are others.
    """
    config = file.config
    if file.golden:
        pictures, wanted = golden_pictures(config), np.array(file.golden)
        if len(wanted) != len(pictures):
            raise WrongPictureError(f"{file.id}: its golden pictures are not as many as ours")
        off = np.abs(classify(pictures) - wanted) / (1 + np.abs(wanted))
        if not off.max() <= GOLDEN_ERROR:
            raise WrongPictureError(
                f"{file.id}: a picture's logits are not what they were when it was written "
                f"({off.max():.3g} off; allowed: {GOLDEN_ERROR})"
            )
    shape = (max(batches), config.side, config.side, config.channels)
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    alone = np.concatenate([classify(pixels[i : i + 1]) for i in range(len(pixels))])
    for size in batches:
        if not np.array_equal(classify(pixels[:size]), alone[:size]):
            raise UnequalBytesError(
                f"a picture classified in a batch of {size} has other logits than the same one "
                "classified alone; this runtime cannot give one answer to a picture"
            )
