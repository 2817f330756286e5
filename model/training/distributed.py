"""The processes that train one run together, each on a device of its own.

    torchrun --nproc-per-node 2 -m model.training train ...

Each process samples the whole batch and trains on its share; gradients, losses and what batch
norm sees are averaged over all. So it is the same run with any number of processes, but for the
last bits of its sums. The first process alone writes.

Gradients are averaged while the backward pass goes on, but not by DistributedDataParallel, which
knows one pass through one module: here a discriminator is passed twice a step, frozen while the
other network learns, and its gradient is itself differentiated (R1 and R2). What counts is the
gradient that a parameter has in the end, and that each has once a step of its optimiser.
"""

import datetime
import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from model.mistakes import Mistake

PATIENCE = datetime.timedelta(hours=1)  # with the first process: it measures and writes
BUCKET_BYTES = 2**22  # gradients that go to the others together
# What went between the processes last. gloo's threads release a tensor some time after its sum is
# known. A thread that is the last to hold one needs the interpreter for that, while
# destroy_process_group keeps the interpreter and waits for the thread: for ever.
_LAST: deque[Tensor] = deque(maxlen=4)  # one for each of gloo's two threads, twice over


class DistributedError(Mistake):
    """The processes cannot train together; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """This process among those of its run; by default it is the only one."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0  # among those of this machine
    restarted: bool = False  # by torchrun, after a process had ended

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Returns this process's part of a batch.

        Raises:
            DistributedError: not all parts would be equal.
        """
        if count % self.size:
            raise DistributedError(
                f"a batch of {count} does not divide among {self.size} processes; "
                f"say --batch with a multiple of {self.size}"
            )
        part = count // self.size
        return slice(self.rank * part, (self.rank + 1) * part)

    def mean(self, values: Tensor) -> Tensor:
        """Returns the mean of what each process has, the same bits for all."""
        if self.size == 1:
            return values
        total = values.detach().clone()
        with _reaching_others():
            _reduce(total)
        return total / self.size

    def any(self, *answers: bool) -> list[bool]:
        """Returns for each answer whether it is yes for any process."""
        if self.size == 1:
            return list(answers)
        flags = torch.tensor(answers, dtype=torch.int32)
        with _reaching_others():
            _reduce(flags, torch.distributed.ReduceOp.MAX)
        return [bool(flag) for flag in flags]

    def broadcast(self, content: bytes | None) -> bytes | None:
        """Returns what the first process passes; what the others pass is ignored."""
        if self.size == 1:
            return content
        length = torch.tensor(-1 if content is None else len(content))
        with _reaching_others():
            _spread(length)
            if length < 0:
                return None
            said = torch.zeros(int(length), dtype=torch.uint8)
            if self.first and content is not None:
                said = torch.frombuffer(bytearray(content), dtype=torch.uint8)
            _spread(said)
        heard: bytes = said.numpy().tobytes()
        return heard

    def device(self, asked: str) -> str:
        """Returns the name of this process's device: with several GPUs each takes its own.

        Raises:
            DistributedError: one GPU is asked for, and there are several processes.
        """
        if self.size == 1 or asked == "cpu":
            return asked
        if asked not in ("auto", "cuda"):
            raise DistributedError(
                f"device {asked} is one for {self.size} processes; say cuda, and each takes its own"
            )
        return f"cuda:{self.local_rank}" if asked == "cuda" or torch.cuda.is_available() else "cpu"

    @contextmanager
    def one_before_the_others(self) -> Iterator[None]:
        """Lets one process of each machine go first: what it downloads, the others find."""
        if self.size > 1 and self.local_rank > 0:
            self.any(False)
        try:
            yield
        finally:
            if self.size > 1 and self.local_rank == 0:
                self.any(False)


class GradientAverage:
    """Averages the gradients of an optimiser's parameters over all processes while the backward
    pass goes on: bucket by bucket, from the last layer back, in the same order in every process.

    One backward pass, and no other, must lead to each step of the optimiser.
    """

    def __init__(self, ranks: Ranks, optimizer: torch.optim.Optimizer) -> None:
        self._ranks = ranks
        self._buckets: list[list[nn.Parameter]] = [[]]
        size = 0
        for parameter in reversed([p for g in optimizer.param_groups for p in g["params"]]):
            if size > BUCKET_BYTES:
                self._buckets.append([])
                size = 0
            self._buckets[-1].append(parameter)
            size += parameter.numel() * parameter.element_size()
        for number, bucket in enumerate(self._buckets):
            for parameter in bucket:
                hook = partial(self._done, number)
                parameter.register_post_accumulate_grad_hook(hook)  # type: ignore[no-untyped-call]
        optimizer.register_step_pre_hook(self._finish)
        self._begin()

    def _begin(self) -> None:
        self._left = [len(bucket) for bucket in self._buckets]
        self._sent: list[tuple[list[Tensor], Tensor, Any]] = []

    def _done(self, number: int, _: Tensor) -> None:
        """Counts a gradient; sends its bucket, if those before it are on their way."""
        self._left[number] -= 1
        assert self._left[number] >= 0, "a second backward pass before the step"
        while len(self._sent) < len(self._left) and not self._left[len(self._sent)]:
            self._send()

    def _send(self) -> None:
        bucket = self._buckets[len(self._sent)]
        gradients = [parameter.grad for parameter in bucket if parameter.grad is not None]
        work, flat = None, torch.empty(0)
        if gradients:
            flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
            _LAST.append(flat)
            with _reaching_others():
                work = torch.distributed.all_reduce(flat, async_op=True)
        self._sent.append((gradients, flat, work))

    def _finish(self, *_: Any) -> None:
        """Puts the mean in every gradient's place; a hook for before a step."""
        while len(self._sent) < len(self._buckets):  # some parameter had no part in the loss
            self._send()
        for gradients, flat, work in self._sent:
            if work is None:
                continue
            with _reaching_others():
                work.wait()
            parts = torch.split(flat / self._ranks.size, [one.numel() for one in gradients])
            for gradient, part in zip(gradients, parts, strict=True):
                gradient.copy_(part.view(gradient.shape))
        self._begin()


@contextmanager
def joined() -> Iterator[Ranks]:
    """Joins the processes that torchrun has started, or this one alone.

    Raises:
        DistributedError: one of them cannot be reached, or ends before the others.
    """
    environment = os.environ
    restarts = environment.get("TORCHELASTIC_RESTART_COUNT", "0")
    size = int(environment.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Ranks(restarted=restarts != "0")
        return
    # small things, and all on CPUs, go by gloo
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    with _reaching_others():
        store, rank, size = next(rendezvous("env://", timeout=PATIENCE))
        if environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
            # torchrun keeps one store for all its starts: without names of their own, a process
            # may find the address of one that is dead, and wait for it
            store = PrefixStore(f"start {restarts} of {size}", store)
        torch.distributed.init_process_group(
            backend, store=store, rank=rank, world_size=size, timeout=PATIENCE
        )
    yield Ranks(
        rank=rank,
        size=size,
        local_rank=int(environment["LOCAL_RANK"]),
        restarted=restarts != "0",
    )
    torch.distributed.destroy_process_group()
    _LAST.clear()


def _reduce(values: Tensor, operation: Any = torch.distributed.ReduceOp.SUM) -> None:
    _LAST.append(values)
    torch.distributed.all_reduce(values, operation)


def _spread(values: Tensor) -> None:
    _LAST.append(values)
    torch.distributed.broadcast(values, 0)


@contextmanager
def _reaching_others() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DistributedError(
            f"another process of this run cannot be reached ({reason})"
        ) from None


class _Mean(torch.autograd.Function):
    """The mean over all processes, of which the gradient is the mean of the gradients."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        total = values.clone()
        _reduce(total)
        return total / torch.distributed.get_world_size()

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        _reduce(total)
        return total / torch.distributed.get_world_size()


class _Gathered(torch.autograd.Function):
    """The rows of all processes, of which the gradient is the sum of what each has for them."""

    @staticmethod
    def forward(_: Any, rows: Tensor) -> Tensor:
        places = rows.new_zeros(torch.distributed.get_world_size(), *rows.shape)
        places[torch.distributed.get_rank()] = rows
        _reduce(places)
        return places.flatten(0, 1)

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        _reduce(total)
        return total.chunk(torch.distributed.get_world_size())[torch.distributed.get_rank()]


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch norm by the whole batch, of which each process has a share; on any device."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalises as the layer that it was; statistics in float32 at least."""
        if not self.training:
            return super().forward(x)
        values = x.to(widened(x))
        mean = _mean(values.mean((0, 2, 3)))
        centred = values - mean[:, None, None]
        variance = _mean(centred.square().mean((0, 2, 3)))
        count = x.numel() / x.shape[1] * torch.distributed.get_world_size()
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            assert self.momentum is not None
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        normed = centred * (variance + self.eps).rsqrt()[:, None, None]
        if self.affine:
            normed = normed * self.weight[:, None, None] + self.bias[:, None, None]
        return normed.to(x.dtype)


def share_batch_norms(network: nn.Module) -> None:
    """Lets every batch norm of the network see the whole batch."""
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedBatchNorm


def shared_mean(values: Tensor) -> Tensor:
    """Returns the mean of what the processes have, differentiable; alone, what this one has."""
    return _mean(values) if torch.distributed.is_initialized() else values


def gathered(rows: Tensor) -> Tensor:
    """Returns the rows of all processes, differentiable, in the order of the whole batch; alone,
    those of this one. Each must have as many.
    """
    if not torch.distributed.is_initialized():
        return rows
    found: Tensor = _Gathered.apply(rows)  # type: ignore[no-untyped-call]
    return found


def widened(values: Tensor) -> torch.dtype:
    """Returns the data type in which statistics of values are computed: float32 at least."""
    return torch.promote_types(values.dtype, torch.float32)


def _mean(values: Tensor) -> Tensor:
    mean: Tensor = _Mean.apply(values)  # type: ignore[no-untyped-call]
    return mean
