"""mosec: a Rust front and one Python worker process. `POST /inference {"seed": N}` -> PNG."""

import sys
from typing import Any

from mosec import Server, Worker

from benchmarks.peers.generator import HOST, MAX_BATCH, SeedGenerator, port, wait_ms


class Pictures(Worker):  # type: ignore[misc]
    """Batches of parsed JSON in, as many files out; the base class parses."""

    resp_mime_type = "image/png"

    def __init__(self) -> None:
        super().__init__()
        self._generator = SeedGenerator()

    def forward(self, data: list[dict[str, Any]]) -> list[bytes]:
        """Draws one batch."""
        return self._generator.files([int(request["seed"]) for request in data])

    def serialize(self, data: bytes) -> bytes:
        """Returns one answer, a file already."""
        return data


if __name__ == "__main__":
    sys.argv[1:] = ["--address", HOST, "--port", str(port()), "--log-level", "warning"]
    server = Server()
    server.append_worker(Pictures, max_batch_size=MAX_BATCH, max_wait_time=wait_ms(1))
    server.run()
