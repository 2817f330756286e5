"""Memory over many requests, and answers that need no work: `python -m benchmarks.endurance`.

Fresh seeds until `--requests` are answered, then a hot seed, then one that the client has already.
"""

import argparse
import http.client
import subprocess
from pathlib import Path

from benchmarks.load import closed_loop
from benchmarks.servers import HOST, OURS, Server, running

FIRST = 10_000  # requests after which the memory is first taken
CLIENTS = 64
ROUND_SECONDS = 5.0


def memory(server: Server) -> float:
    """Returns MiB of the server's processes, resident."""
    return server.usage().memory / 2**20


def peak(server: Server) -> float:
    """Returns the most MiB that the server's first process ever had."""
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def repeated(server: Server, path: str, *headers: str) -> float:
    """Answers a second where every request is the same."""
    command = ["wrk", "-t1", f"-c{CLIENTS}", f"-d{ROUND_SECONDS:.0f}s"]
    for header in headers:
        command += ["-H", header]
    report = subprocess.run(
        [*command, server.url + path], capture_output=True, text=True, check=True
    ).stdout
    (line,) = (line for line in report.splitlines() if line.startswith("Requests/sec"))
    return float(line.split()[1])


def tag_of(server: Server, path: str) -> str:
    """Returns the ETag of a picture."""
    connection = http.client.HTTPConnection(HOST, server.port, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.headers["ETag"]


def main() -> None:
    """Prints memory early and late, and the three rates."""
    parser = argparse.ArgumentParser(description="Does memory grow? What does a hot seed cost?")
    parser.add_argument("--requests", type=int, default=300_000)
    wanted = parser.parse_args().requests
    with running(OURS) as server:
        answered, early, fresh = 0, 0.0, 0.0
        while answered < wanted:
            cell = closed_loop(server, CLIENTS, ROUND_SECONDS)
            answered += cell.requests
            fresh = cell.requests_per_second
            if early == 0.0 and answered >= FIRST:
                early = memory(server)
                print(f"after {answered} requests: {early:.1f} MiB", flush=True)
        late = memory(server)
        print(f"after {answered} requests: {late:.1f} MiB, {late / early:.3f} times as much")
        print(f"peak: {peak(server):.1f} MiB", flush=True)
        path = "/generate?seed=42"
        hot = repeated(server, path)
        known = repeated(server, path, f"If-None-Match: {tag_of(server, path)}")
    print(f"fresh seeds: {fresh:.0f}/s")
    print(f"one hot seed: {hot:.0f}/s, {hot / fresh:.1f} times as many")
    print(f"304 to a known tag: {known:.0f}/s, {known / fresh:.1f} times as many")


if __name__ == "__main__":
    main()
