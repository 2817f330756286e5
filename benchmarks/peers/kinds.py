"""Every server that can be measured, by name: ours and its peers. Importing starts nothing."""

import os
import sys
from argparse import ArgumentTypeError
from dataclasses import replace

from benchmarks.servers import OURS, Kind

BENTOML = ("-m", "bentoml", "serve", "--host", "127.0.0.1", "--port", "{port}")

KINDS = {
    kind.name: kind
    for kind in (
        OURS,
        Kind(name="naive", command=("-m", "benchmarks.peers.naive_fastapi")),
        Kind(
            name="mosec",
            command=("-m", "benchmarks.peers.mosec_server"),
            path="/inference",
            post=True,
            package="mosec",
        ),
        Kind(
            name="litserve",
            command=("-m", "benchmarks.peers.litserve_server"),
            path="/predict",
            post=True,
            package="litserve",
        ),
        Kind(
            name="triton",
            command=("-m", "benchmarks.peers.triton_server"),
            package="pytriton",
            python=os.environ.get("TRITON_PYTHON", sys.executable),
        ),
        Kind(
            name="bentoml",
            command=(*BENTOML, "benchmarks.peers.bentoml_service:Front"),
            post=True,
            package="bentoml",
        ),
        Kind(
            name="ray",
            command=("-m", "benchmarks.peers.ray_server"),
            path="/",
            post=True,
            package="ray",
        ),
    )
}


def choose(words: str) -> list[Kind]:
    """The kinds of `ours,mosec,mosec:2,mosec@ours`: a number is the threads of one batch there, and
    `@ours` puts our runtime in place of PyTorch in eager mode.

    Raises:
        ArgumentTypeError: a word is none of these; the message says what is allowed.
    """
    kinds = []
    for word in words.split(","):
        full = word.strip()
        rest, _, runtime = full.partition("@")
        name, _, threads = rest.partition(":")
        if name not in KINDS or runtime not in ("", "ours") or not (threads or "1").isdecimal():
            raise ArgumentTypeError(
                f"{full!r} is no server; allowed: {', '.join(KINDS)}, each with :THREADS or @ours"
            )
        kind = replace(KINDS[name], name=full, runtime=runtime or "torch")
        kinds.append(replace(kind, threads=int(threads)) if threads else kind)
    return kinds
