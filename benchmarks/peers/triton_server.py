"""NVIDIA Triton through PyTriton, with FastAPI in front, for Triton's own HTTP speaks tensors.
`GET /generate?seed=N` -> PNG.
"""

import os
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI, Response
from pytriton.client import AsyncioModelClient
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from benchmarks.peers.generator import HOST, MAX_BATCH, SeedGenerator, port, wait_ms


def serve() -> None:
    """Runs Triton as a child process, the front in this one."""
    # Triton's Python stub must load this interpreter's library, not another patch release of it
    paths = (sysconfig.get_config_var("LIBDIR"), os.environ.get("LD_LIBRARY_PATH"))
    os.environ["LD_LIBRARY_PATH"] = ":".join(path for path in paths if path)
    generator = SeedGenerator()
    grpc = port() + 2000

    @batch
    def infer(seed: Any) -> dict[str, Any]:
        files = generator.files([int(row[0]) for row in seed])
        return {"png": np.array(files, dtype=object).reshape(-1, 1)}

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncioModelClient(f"grpc://{HOST}:{grpc}", "pictures") as client:
            app.state.client = client
            yield

    front = FastAPI(lifespan=lifespan)

    @front.get("/generate")
    async def generate(seed: int) -> Response:
        answer = await front.state.client.infer_sample(np.array([seed], np.int64))
        return Response(answer["png"][0], media_type="image/png")

    config = TritonConfig(
        http_address=HOST, http_port=port() + 1000, grpc_address=HOST, grpc_port=grpc,
        allow_metrics=False, log_verbose=0,
    )  # fmt: skip
    with Triton(config=config) as triton:
        triton.bind(
            model_name="pictures",
            infer_func=infer,
            inputs=[Tensor(name="seed", dtype=np.int64, shape=(1,))],
            outputs=[Tensor(name="png", dtype=bytes, shape=(1,))],
            config=ModelConfig(
                max_batch_size=MAX_BATCH,
                batcher=DynamicBatcher(max_queue_delay_microseconds=wait_ms(0) * 1000),
            ),
        )
        triton.run()
        uvicorn.run(front, host=HOST, port=port(), access_log=False, log_level="warning")


if __name__ == "__main__":
    serve()
