"""Names of devices and precisions, for those who must choose before torch is imported."""

from pathlib import Path
from typing import Literal

from model.mistakes import Mistake

Precision = Literal["fp32", "bf16"]

NO_MPS = "mps, Apple's GPUs, is not supported: equal bytes for equal seeds are tested on others"
NVIDIA_DRIVER = (Path("/proc/driver/nvidia/version"), Path("/dev/nvidiactl"))


class DeviceError(Mistake):
    """The device asked for is not there; the message says which are."""


def may_have_cuda() -> bool:
    """Checks whether an NVIDIA driver is loaded: without one there is no need to ask torch."""
    return any(path.exists() for path in NVIDIA_DRIVER)
