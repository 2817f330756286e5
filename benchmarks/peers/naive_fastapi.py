"""Plain FastAPI, one picture per call in the thread pool and no batching: what a first version
looks like. `GET /generate?seed=N` -> PNG.
"""

import uvicorn
from fastapi import FastAPI, Response

from benchmarks.peers.generator import HOST, SeedGenerator, port

app = FastAPI()


@app.get("/generate")
def generate(seed: int) -> Response:
    """Returns the picture of a seed."""
    return Response(app.state.generator.files([seed])[0], media_type="image/png")


if __name__ == "__main__":
    app.state.generator = SeedGenerator()
    uvicorn.run(app, host=HOST, port=port(), access_log=False, log_level="warning")
