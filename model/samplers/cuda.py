"""CUDA's runtime: fixed batch shapes, a graph captured for each, copies during the arithmetic.

    rows (pinned) -> device -> graph: network, crop, uint8, NHWC -> copy stream -> pinned -> pixels

A library may choose another kernel for another batch shape, and with it other last bits. Only the
shapes that generate exactly the floats of the largest are used, found at load time; a batch is cut
into them, and the last one filled up with zeros.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.images import HALF_RANGE
from model.latent_space.latents import sample_latents

SHAPES = (1, 2, 4, 8, 16, 32, 64, 256)  # rows in a batch
SLOTS = 2  # batches of a shape on their way at once: one is computed while one is copied
WARM_UP_RUNS = 3  # before a capture, so that every library has chosen and allocated


class CudaSampler:
    """A generator on a CUDA device. `generate` takes rows (N, input_dim) to images (N, C, H, W)."""

    def __init__(
        self,
        generate: Callable[[Tensor], Tensor],
        *,
        input_dim: int,
        shape: tuple[int, int, int],
        device: torch.device,
    ) -> None:
        keep_bits()
        self.input_dim = input_dim
        self._shape, self._device = shape, device
        with torch.inference_mode(), torch.cuda.device(device):
            self._shapes = agreeing_shapes(generate, input_dim, device, SHAPES)
            self._compute = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            self._copies = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            self._graphs = {
                count: _Graph(generate, count, input_dim, shape, self._compute)
                for count in self._shapes
            }

    def __str__(self) -> str:
        return f"{self._device} (CUDA graphs of {', '.join(map(str, self._shapes))})"

    def device_memory(self) -> tuple[str, int]:
        """Returns the device and the bytes of it that this process has taken, for any generator."""
        return str(self._device), torch.cuda.memory_reserved(self._device)

    def __call__(self, rows: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Generates pictures (N, side, side, C) of rows (N, input_dim); N is any number from 0."""
        pixels = np.empty((len(rows), *self._shape), np.uint8)
        start = 0
        with torch.inference_mode(), torch.cuda.device(self._device):
            for count in cut(len(rows), self._shapes):
                end = min(start + count, len(rows))
                slot = self._graphs[count].next_slot()
                slot.collect()
                slot.begin(rows[start:end], pixels[start:end], self._compute, self._copies)
                start = end
            for graph in self._graphs.values():
                for slot in graph.slots:
                    slot.collect()
        return pixels


def keep_bits() -> None:
    """Turns off what would make bits depend on more than the input, in the whole process: TF32 and
    the search for the fastest kernel.
    """
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def agreeing_shapes(
    generate: Callable[[Tensor], Tensor],
    input_dim: int,
    device: torch.device,
    shapes: Sequence[int],
) -> tuple[int, ...]:
    """Finds the shapes, in ascending order, in which every row is generated to exactly the floats
    that it is generated to in the largest.
    """
    largest = max(shapes)
    rows = torch.from_numpy(sample_latents(range(largest), input_dim, "normal")).to(device)
    wanted = generate(rows)
    agree = [
        shape
        for shape in sorted(shapes)
        if all(
            torch.equal(generate(part), wanted[start : start + len(part)])
            for start, part in zip(range(0, largest, shape), torch.split(rows, shape), strict=True)
            if len(part) == shape
        )
    ]
    return tuple(agree)


def cut(count: int, shapes: Sequence[int]) -> Iterator[int]:
    """Yields shapes that together hold `count` rows: the smallest that takes them all, unless one
    that they fill is at least a quarter as large.
    """
    while count > 0:
        whole = min((shape for shape in shapes if shape >= count), default=max(shapes))
        filled = max((shape for shape in shapes if shape <= count), default=0)
        shape = filled if filled >= whole / 4 else whole
        yield shape
        count -= shape


@dataclass
class _Slot:
    """One batch's way through the device: its own buffers, so that the next may follow at once."""

    graph: "_Graph"
    rows: Tensor  # pinned
    generated: Tensor  # on the device
    host: Tensor  # pinned
    computed: torch.cuda.Event
    copied: torch.cuda.Event
    target: NDArray[np.uint8] | None = None

    def begin(
        self,
        rows: NDArray[np.float32],
        target: NDArray[np.uint8],
        compute: torch.cuda.Stream,
        copies: torch.cuda.Stream,
    ) -> None:
        self.target = target
        host = self.rows.numpy()
        host[: len(rows)], host[len(rows) :] = rows, 0
        with torch.cuda.stream(compute):
            self.graph.rows.copy_(self.rows, non_blocking=True)
            self.graph.graph.replay()
            self.generated.copy_(self.graph.pixels)
            self.computed.record(compute)
        with torch.cuda.stream(copies):
            copies.wait_event(self.computed)
            self.host.copy_(self.generated, non_blocking=True)
            self.copied.record(copies)

    def collect(self) -> None:
        """Waits for the batch, if there is one, and hands its pixels over."""
        if self.target is not None:
            self.copied.synchronize()
            self.target[:] = self.host.numpy()[: len(self.target)]
            self.target = None


class _Graph:
    """The network captured at one batch shape."""

    def __init__(
        self,
        generate: Callable[[Tensor], Tensor],
        count: int,
        input_dim: int,
        shape: tuple[int, int, int],
        stream: torch.cuda.Stream,
    ) -> None:
        self.rows = torch.zeros(count, input_dim, device="cuda")
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_RUNS):
                to_pixels(generate(self.rows), shape[0])
        torch.cuda.current_stream().wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        # another generator may be generating meanwhile, in a thread of its own
        with torch.cuda.graph(self.graph, stream=stream, capture_error_mode="thread_local"):
            self.pixels = to_pixels(generate(self.rows), shape[0])
        self.slots = [self._slot() for _ in range(SLOTS)]
        self._turn = 0

    def next_slot(self) -> _Slot:
        self._turn = (self._turn + 1) % SLOTS
        return self.slots[self._turn]

    def _slot(self) -> _Slot:
        return _Slot(
            self,
            rows=torch.empty(self.rows.shape, pin_memory=True),
            generated=torch.empty_like(self.pixels),
            host=torch.empty(self.pixels.shape, dtype=torch.uint8, pin_memory=True),
            computed=torch.cuda.Event(),  # type: ignore[no-untyped-call]
            copied=torch.cuda.Event(),  # type: ignore[no-untyped-call]
        )


def to_pixels(images: Tensor, side: int) -> Tensor:
    """Computes `images.crop_center(images.to_pixels(...))` on the device: (N, C, H, W) in [-1, 1]
    to (N, side, side, C) uint8.
    """
    margin = (images.shape[-1] - side) // 2
    inner = images[:, :, margin : margin + side, margin : margin + side]
    scaled = (inner.float() * HALF_RANGE + (HALF_RANGE + 0.5)).floor().clamp(0, 255)
    return scaled.to(torch.uint8).permute(0, 2, 3, 1).contiguous()
