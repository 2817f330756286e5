"""What there is to compute with: names of devices and precisions, for those who must choose before
torch is imported, and how many processor cores this process may really use.
"""

import os
from pathlib import Path
from typing import Literal

from model.mistakes import Mistake

Precision = Literal["fp32", "bf16"]

NO_MPS = "mps, Apple's GPUs, is not supported: equal bytes for equal seeds are tested on others"
CGROUP = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")  # lines such as 0::/system.slice/gan.service
ALL = 1e9  # cores, where there is no limit
NVIDIA_DRIVER = (Path("/proc/driver/nvidia/version"), Path("/dev/nvidiactl"))


class DeviceError(Mistake):
    """The device asked for is not there; the message says which are."""


def may_have_cuda() -> bool:
    """Checks whether an NVIDIA driver is loaded: without one there is no need to ask torch."""
    return any(path.exists() for path in NVIDIA_DRIVER)


def usable_cores(cgroup: Path = CGROUP, membership: Path = MEMBERSHIP) -> int:
    """Counts the cores to plan threads for, 1 or more, by affinity and by the CPU quota of the
    container or service: a quota of 1.5 cores makes 1.
    """
    quota = min(_quota(group) for group in _groups(cgroup, membership))
    return max(1, min(_affinity(), int(quota)))


def _affinity() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _groups(cgroup: Path, membership: Path) -> list[Path]:
    """Lists the groups that the process is in, each of which may have a quota: of version 2, and of
    version 1's cpu. A container sees its own as the root.
    """
    groups = [cgroup, cgroup / "cpu"]
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return groups
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "" or "cpu" in controllers.split(","):
            root = cgroup / "cpu" if controllers else cgroup
            inner = Path(path.lstrip("/"))
            groups += [root / part for part in (inner, *inner.parents)]
    return groups


def _quota(group: Path) -> float:
    """Returns the cores that one group allows."""
    try:
        quota, period = (group / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (group / "cpu.cfs_quota_us").read_text()
            period = (group / "cpu.cfs_period_us").read_text()
        except OSError:
            return ALL
    try:
        cores = float(quota) / float(period)
    except (ValueError, ZeroDivisionError):
        return ALL  # "max"
    return cores if cores > 0 else ALL
