"""The processes that train one run together, each on a device of its own.

    torchrun --nproc-per-node 2 -m model.training train ...

Each process samples the whole batch and trains on its share; gradients, losses and what batch
norm sees are averaged over all. So it is the same run with any number of processes, but for the
last bits of its sums. The first process alone writes.

Gradients are averaged right before an optimiser's step. DistributedDataParallel would do it inside
the backward pass, but knows one pass through one module: here a discriminator is passed twice a
step, frozen while the other network learns, and its gradient is itself differentiated (R1 and R2),
for which DistributedDataParallel is not made.
"""

import datetime
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from model.mistakes import Mistake

PATIENCE = datetime.timedelta(hours=1)  # with the first process: it measures and writes


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
            torch.distributed.all_reduce(total)
        return total / self.size

    def any(self, *answers: bool) -> list[bool]:
        """Returns for each answer whether it is yes for any process."""
        if self.size == 1:
            return list(answers)
        flags = torch.tensor(answers, dtype=torch.int32)
        with _reaching_others():
            torch.distributed.all_reduce(flags, torch.distributed.ReduceOp.MAX)
        return [bool(flag) for flag in flags]

    def broadcast(self, content: bytes | None) -> bytes | None:
        """Returns what the first process passes; what the others pass is ignored."""
        if self.size == 1:
            return content
        length = torch.tensor(-1 if content is None else len(content))
        with _reaching_others():
            torch.distributed.broadcast(length, 0)
            if length < 0:
                return None
            said = torch.zeros(int(length), dtype=torch.uint8)
            if self.first and content is not None:
                said = torch.frombuffer(bytearray(content), dtype=torch.uint8)
            torch.distributed.broadcast(said, 0)
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

    def average_gradients(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        """Replaces every process's gradients by the mean of all; a hook for before a step."""
        gradients = [
            parameter.grad
            for group in optimizer.param_groups
            for parameter in group["params"]
            if parameter.grad is not None
        ]
        flat = self.mean(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        parts = torch.split(flat, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view(gradient.shape))


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
        # torchrun keeps one store for all its starts: without names of their own, a process may
        # find the address of one that is dead, and wait for it
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
        torch.distributed.all_reduce(total)
        return total / torch.distributed.get_world_size()

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        torch.distributed.all_reduce(total)
        return total / torch.distributed.get_world_size()


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch norm by the whole batch, of which each process has a share; on any device."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalises as the layer that it was; statistics in float32 at least."""
        if not self.training:
            return super().forward(x)
        values = x.to(torch.promote_types(x.dtype, torch.float32))
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


def _mean(values: Tensor) -> Tensor:
    mean: Tensor = _Mean.apply(values)  # type: ignore[no-untyped-call]
    return mean
