"""An upscaler on the CPU: its weights as an ONNX graph for each scale, run by ONNX Runtime. No
torch.

    pixels (N, H, W, C) uint8 -> convolutions -> a head's sub-pixels + the pixel below them
                              -> uint8 -> sub-pixels in their places (N, scale H, scale W, C)

An integer upscaler's graph is `integers.onnx_graph`'s.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from model.files import OutputError, write_whole
from model.images import HALF_RANGE
from model.integers import onnx_graph as integers
from model.networks.graph import Graph
from model.networks.layers import Layer
from model.samplers.onnx import session, shares
from model.samplers.onnx_graph import picture_batch, serialised
from model.upscaling.upscaler_file import UpscalerFile


class OnnxUpscaler:
    """An upscaler, in float32 or in integers. Each thread enlarges one picture after another: their
    maps then stay in the processor's caches, and a picture does not depend on its batch. Where that
    would leave threads idle, they share every picture.
    """

    def __init__(self, file: UpscalerFile, threads: int = 1) -> None:
        self._channels, self._threads = file.header.network.channels, threads
        graphs = {scale: upscaler_graph(file, scale) for scale in file.scales}
        self._alone = {scale: session(graph, 1) for scale, graph in graphs.items()}
        self._shared = self._alone
        if threads > 1:
            self._shared = {scale: session(graph, threads) for scale, graph in graphs.items()}
        self._helpers = ThreadPoolExecutor(max(1, threads - 1), "upscaler")

    def __call__(self, pixels: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
        """Enlarges pictures (N, H, W, C); N is any number from 0."""
        count, height, width, _ = pixels.shape
        large = np.empty((count, scale * height, scale * width, self._channels), np.uint8)
        parts = shares(count, self._threads)
        if not parts:
            _enlarge(self._shared[scale], pixels, large)
            return large
        first, *others = parts
        alone = self._alone[scale]
        running = [
            self._helpers.submit(_enlarge, alone, pixels[part], large[part]) for part in others
        ]
        _enlarge(alone, pixels[first], large[first])
        for part in running:
            part.result()
        return large


def _enlarge(session: Any, pixels: NDArray[np.uint8], large: NDArray[np.uint8]) -> None:
    for index, target in enumerate(large):
        target[:] = session.run(["large"], {"pixels": pixels[index : index + 1]})[0][0]


def write_upscaler_onnx(file: UpscalerFile, scale: int, path: Path) -> None:
    """Writes the graph of one scale as an ONNX file, which says whose it is.

    Raises:
        OutputError: it has no such scale, or the file cannot be written.
    """
    if scale not in file.scales:
        known = ", ".join(map(str, file.scales))
        raise OutputError(f"scale is {scale}; upscaler {file.hash} has {known}")
    model = onnx.load_model_from_string(upscaler_graph(file, scale))
    model.producer_name = "ganserve"
    model.doc_string = "pixels: 0 to 255, NHWC, of any side; large: the same, enlarged"
    facts = {"upscaler_sha256": file.sha256, "data_licence": file.header.licence}
    onnx.helper.set_model_props(model, facts | {"scale": str(scale)})
    onnx.checker.check_model(model, full_check=True)
    write_whole(path, model.SerializeToString())


def upscaler_graph(file: UpscalerFile, scale: int) -> bytes:
    """Serialises the model of one scale."""
    network = file.header.network
    if file.header.is_integer:
        return integers.upscaler_graph(network.steps(scale), file.tensors)
    graph = Graph(file.weights)
    x = graph.add("Cast", "pixels", to=TensorProto.FLOAT)
    x = small = graph.add("Transpose", x, perm=[0, 3, 1, 2])
    x = graph.add("Mul", x, np.array(1 / HALF_RANGE, np.float32))
    x = graph.add("Sub", x, np.array(1, np.float32))
    for name in network.convolutions:
        x = graph.add("Relu", graph.convolution(x, name))
    head, area = graph.layer(f"heads.{scale}"), scale**2
    # in levels: the pixel below each sub-pixel, and the half that the cast cuts as `to_pixels` does
    levels = Layer(head.weight * np.float32(HALF_RANGE), head.bias * np.float32(HALF_RANGE))
    repeat = np.repeat(np.eye(network.channels, dtype=np.float32), area, 0)[..., None, None]
    half = np.full(network.channels * area, 0.5, np.float32)
    x = graph.join(
        "Add", graph.convolution(x, levels), graph.convolution(small, Layer(repeat, half))
    )
    x = graph.add("Clip", x, np.array(0, np.float32), np.array(255, np.float32))
    x = graph.add("Cast", x, to=TensorProto.UINT8)
    x = graph.add("DepthToSpace", x, blocksize=scale, mode="CRD")
    graph.add("Transpose", x, perm=[0, 2, 3, 1])
    pixels = picture_batch("pixels", "H", "W", network.channels)
    large = picture_batch("large", "h", "w", network.channels)
    return serialised(graph, "upscaler", pixels, large)
