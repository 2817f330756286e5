"""How many processor cores this process may really use: its affinity, and its container's CPU
quota.
"""

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def usable_cores(cgroup: Path = CGROUP) -> int:
    """Cores to plan threads for, 1 or more: a quota of 1.5 cores makes 1."""
    return max(1, min(_affinity(), int(_quota(cgroup))))


def _affinity() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quota(cgroup: Path) -> float:
    """Cores that the cgroup (version 2, then 1) allows; infinity without a limit."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text()
        except OSError:
            return 1e9
    try:
        cores = float(quota) / float(period)
    except (ValueError, ZeroDivisionError):
        return 1e9  # "max"
    return cores if cores > 0 else 1e9
