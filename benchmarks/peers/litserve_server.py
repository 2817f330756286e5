"""LitServe: uvicorn in one process, the model in another. `POST /predict {"seed": N}` -> PNG."""

from typing import Any

import litserve
from fastapi import Response

from benchmarks.peers.generator import HOST, MAX_BATCH, Pixels, SeedGenerator, png, port, wait_ms


class Pictures(litserve.LitAPI):  # type: ignore[misc]
    """Seeds batched, pictures unbatched."""

    def setup(self, device: str) -> None:
        """Loads once per worker."""
        self._generator = SeedGenerator()

    def decode_request(self, request: dict[str, Any], **_: Any) -> int:
        """Returns the seed of a request."""
        return int(request["seed"])

    def batch(self, inputs: list[int]) -> list[int]:
        """Leaves seeds a list."""
        return inputs

    def predict(self, x: list[int], **_: Any) -> Pixels:
        """Draws one batch."""
        return self._generator(x)

    def unbatch(self, output: Pixels) -> list[Pixels]:
        """Returns one picture each."""
        return list(output)

    def encode_response(self, output: Pixels, **_: Any) -> Response:
        """Returns one answer."""
        return Response(png(output), media_type="image/png")


if __name__ == "__main__":
    api = Pictures(max_batch_size=MAX_BATCH, batch_timeout=wait_ms(0) / 1000)
    server = litserve.LitServer(api, accelerator="cpu")
    server.run(host=HOST, port=port(), generate_client_file=False, log_level="warning")
