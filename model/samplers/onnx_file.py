"""A generator as one ONNX file, for programs that know nothing of ours.

model folder -> graph with what a user must know -> checked, generated with -> model.onnx

rows (N, z_dim + classes) float32 -> pixels (N, side, side, C) uint8
"""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from model.files import OutputError, whole
from model.generator_file import GeneratorFile
from model.samplers.onnx import OnnxSampler, generate, session
from model.samplers.onnx_graph import onnx_graph

CHECKED_SEEDS = range(16)
SMALL = 1024  # values, below which a tensor stays as it is


def write_onnx(file: GeneratorFile, path: Path) -> None:
    """Writes the ONNX file, once it is checked and has generated some seeds as the sampler does.

    Raises:
        OutputError: it cannot be written, or does not generate what the sampler does.
    """
    with whole(path) as temporary:
        temporary.write_bytes(onnx_bytes(file))
        rows = file.config.rows(CHECKED_SEEDS)
        if not np.array_equal(generate(session(temporary, 1), rows), OnnxSampler(file)(rows)):
            raise OutputError(f"{path}: not kept, for it does not generate what the generator does")


def onnx_bytes(file: GeneratorFile) -> bytes:
    """Makes the graph with `facts` as metadata; the same model folder gives the same bytes."""
    model = onnx.load_model_from_string(onnx_graph(file))
    _halve(model)
    model.producer_name = "ganserve"
    model.doc_string = "rows: a latent, then a weight for each class; pixels: 0 to 255, NHWC"
    onnx.helper.set_model_props(model, facts(file))
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    return content


def _halve(model: onnx.ModelProto) -> None:
    """Stores the weights that float16 holds exactly in float16, and casts them to float32 when the
    model is loaded: what it generates stays the same to the bit.
    """
    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if values.dtype != np.float32 or values.size < SMALL or not np.array_equal(values, half):
            continue
        name = f"{tensor.name}.half"
        casts.append(helper.make_node("Cast", [name], [tensor.name], to=TensorProto.FLOAT))
        tensor.CopyFrom(numpy_helper.from_array(half, name))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def facts(file: GeneratorFile) -> dict[str, str]:
    """Tells what a user of the graph alone must know: how to make rows, whose pictures they are."""
    config = file.config
    return {
        "name": config.name,
        "weights_sha256": config.weights_sha256,
        "prior": config.prior,
        "z_dim": str(config.network.z_dim),
        "classes": json.dumps(config.classes),
        "crop": str(config.crop),
        "data_licence": config.licence,
    }
