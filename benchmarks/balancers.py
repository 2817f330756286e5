"""What a request costs each part of a cluster: `python -m benchmarks.balancers`.

    wrk -> HAProxy or nginx -> two replicas; CPU time of each over the requests that passed

CPU time hardly depends on what else the machine does: these are the figures to size a cluster by.
"""

import re
import secrets
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import psutil

from benchmarks.chaos.cluster import Process, end_in_order, haproxy, nginx, started
from benchmarks.load import SCRIPT
from benchmarks.servers import HOST

SECONDS = 8
CLIENTS = 64


def cpu_of(pids: Sequence[int]) -> float:
    """Returns seconds that processes have used so far."""
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return sum(one.user + one.system for one in times)


def wrk(port: int, path: str, *, fresh: bool) -> int:
    """Requests that were answered, each with a seed of its own or all the same."""
    command = ["wrk", "-t1", f"-c{CLIENTS}", f"-d{SECONDS}s"]
    url = f"http://{HOST}:{port}"
    if fresh:
        command += ["-s", str(SCRIPT), url, "--", "GET", path, str(secrets.randbelow(2**40))]
    else:
        command.append(f"{url}{path}?seed=42")
    report = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if fresh:
        return int(re.findall(r'"requests": ?(\d+)', report)[-1])
    return int(re.findall(r"(\d+) requests in", report)[-1])


def row(
    name: str, port: int, balancers: Sequence[int], replicas: Sequence[int], fresh: bool
) -> str:
    """Returns one line: microseconds of CPU a request."""
    before = cpu_of(balancers), cpu_of(replicas)
    count = wrk(port, "/generate", fresh=fresh)
    used = cpu_of(balancers) - before[0], cpu_of(replicas) - before[1]
    shares = " | ".join(f"{seconds / count * 1e6:.0f}" for seconds in used)
    return f"| {name}, {'fresh seeds' if fresh else 'one hot seed'} | {shares} | {count} |"


def main() -> None:
    """Prints the table."""
    end_in_order()
    print("| microseconds of CPU a request | balancer | replicas | requests |")
    print("| --- | ---: | ---: | ---: |")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        replicas = [Process({"GAN_THREADS": "1"}, folder / f"{name}.log") for name in "ab"]
        stack.enter_context(started(replicas))
        pids = [replica.pid for replica in replicas]
        for name, start in (("HAProxy", haproxy), ("nginx with its cache", nginx)):
            with start(replicas, folder) as balancer:
                for fresh in (True, False):
                    print(row(name, balancer.port, [balancer.pid], pids, fresh=fresh), flush=True)
        print(row("alone", replicas[0].port, [], pids, fresh=True), flush=True)
        print(row("alone", replicas[0].port, [], pids, fresh=False), flush=True)


if __name__ == "__main__":
    main()
