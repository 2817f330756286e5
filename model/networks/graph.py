"""A generator's ONNX graph in the making, from rows of its input on, with the layers that several
families are built of.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from model.networks.layers import Layer, Weights

LEAKY_SLOPE = 0.2
# ways of doubling a side
BILINEAR = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
NEAREST = {
    "mode": "nearest",
    "coordinate_transformation_mode": "asymmetric",
    "nearest_mode": "floor",
}


class Graph:
    """Nodes in the order of their creation, each fed by the one that is named; layers are taken as
    they are, or from the generator's weights by name.
    """

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.nodes: list[Any] = []
        self.constants: dict[str, NDArray[Any]] = {}

    def add(self, operation: str, source: str, *arrays: NDArray[Any], **attributes: Any) -> str:
        """Adds a node; returns its output's name."""
        target = f"{operation}{len(self.nodes)}"
        names = [f"{target}.{index}" for index in range(len(arrays))]
        self.constants.update(zip(names, arrays, strict=True))
        self.nodes.append(helper.make_node(operation, [source, *names], [target], **attributes))
        return target

    def join(self, operation: str, one: str, other: str) -> str:
        """Adds a node fed by two outputs; returns its own output's name."""
        target = f"{operation}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, [one, other], [target]))
        return target

    def layer(self, found: Layer | str) -> Layer:
        """Returns a layer, without a bias in the weights with one of zeros."""
        if isinstance(found, Layer):
            return found
        weight = self.weights[f"{found}.weight"]
        return Layer(weight, self.weights.get(f"{found}.bias", np.zeros(len(weight), np.float32)))

    def dense(self, layer: Layer | str, side: int | None = None, source: str = "rows") -> str:
        """Adds a dense layer, to values or to maps of `side` pixels per side."""
        layer = self.layer(layer)
        x = self.add("Gemm", source, layer.weight, layer.bias, transB=1)
        if side is None:
            return x
        shape = [-1, len(layer.bias) // side**2, side, side]
        return self.add("Reshape", x, np.array(shape, np.int64))

    def convolution(self, source: str, layer: Layer | str) -> str:
        """Adds a convolution that keeps the side."""
        layer = self.layer(layer)
        side = layer.weight.shape[2]
        shape = {"kernel_shape": [side, side], "pads": [side // 2] * 4}
        return self.add("Conv", source, layer.weight, layer.bias, **shape)

    def leaky(self, source: str) -> str:
        """Adds a leaky ReLU."""
        return self.add("LeakyRelu", source, alpha=LEAKY_SLOPE)

    def each(self, operation: str, x: str, source: str, *arrays: NDArray[Any]) -> str:
        """Applies to each map a value of the picture's own, from a dense layer of `source`."""
        own = self.add("Gemm", source, *arrays, transB=1)
        own = self.add("Reshape", own, np.array([-1, len(arrays[0]), 1, 1], np.int64))
        return self.join(operation, x, own)

    def doubled(self, source: str, modes: dict[str, str]) -> str:
        """Doubles the side."""
        target = f"Resize{len(self.nodes)}"
        self.constants[f"{target}.scales"] = np.array([1, 1, 2, 2], np.float32)
        inputs = [source, "", f"{target}.scales"]
        self.nodes.append(helper.make_node("Resize", inputs, [target], **modes))
        return target
