"""The few ratios that matter: results in, named numbers out. Below 1 we are ahead unless said."""

from dataclasses import dataclass

from benchmarks.generator import Row, best_raw
from benchmarks.load import Cell
from benchmarks.results import Results
from benchmarks.serving import Measured

MOSEC = "mosec"


@dataclass(frozen=True)
class Ratio:
    """A comparison and how it came about."""

    name: str
    value: float
    how: str


def ratios(results: Results) -> list[Ratio]:
    """Returns all that the measured parts allow."""
    return [*_against_raw(results), *_against_peers(results), *_against_mosec(results)]


def _against_raw(results: Results) -> list[Ratio]:
    """Compares each of ours with the generator alone with as many threads, where that was measured:
    two threads spend more CPU a picture than one, in any runtime.
    """
    if results.generator is None:
        return []
    found = []
    for server in _ours(results):
        rows = _rows_of(results.generator.rows, server)
        full = best_raw(rows, 64, "cpu_ms_per_picture")
        for clients in (64, 256):
            cell = _cell(results, server, clients)
            if full and cell:
                found.append(
                    Ratio(
                        f"{server}: CPU per request at {_clients(clients)} / best raw fp32 "
                        "generator, batch 64",
                        cell.cpu_ms_per_request / full.cpu_ms_per_picture,
                        f"{cell.cpu_ms_per_request:.3f} ms / {full.cpu_ms_per_picture:.3f} ms "
                        f"({full.runtime}, {full.threads} thread(s))",
                    )
                )
        alone, cell = best_raw(rows, 1, "ms"), _cell(results, server, 1)
        if alone and cell and results.encoders:
            grey = [row.microseconds for row in results.encoders.rows if row.form == "28x28 grey"]
            limit = alone.ms + min(grey) / 1e3
            found.append(
                Ratio(
                    f"{server}: p50 at 1 client / (best raw fp32 batch of 1 + fastest PNG encoder)",
                    cell.p50_ms / limit,
                    f"{cell.p50_ms:.3f} ms / ({alone.ms:.3f} + {min(grey) / 1e3:.3f}) ms "
                    f"({alone.runtime}, {alone.threads} thread(s))",
                )
            )
    return found


def _ours(results: Results) -> list[str]:
    names = dict.fromkeys(measured.server for measured in _servers(results))
    return [name for name in names if name.partition(":")[0] == "ours"]


def _rows_of(rows: list[Row], server: str) -> list[Row]:
    """Returns those with the threads that the server gives a batch ("ours:2": two, "ours": one a
    core); all, if none were measured so.
    """
    threads = int(server.partition(":")[2] or max(row.threads for row in rows))
    return [row for row in rows if row.threads == threads] or rows


def _against_peers(results: Results) -> list[Ratio]:
    found = []
    ours, peers = _cell(results, "ours", 64), _peer_cells(results, 64)
    if ours and peers:
        name, best = max(peers.items(), key=lambda item: item[1].requests_per_second)
        found.append(
            Ratio(
                "requests/s at 64 clients / best peer's (above 1 we are ahead)",
                ours.requests_per_second / best.requests_per_second,
                f"{ours.requests_per_second:.0f} / {best.requests_per_second:.0f} ({name})",
            )
        )
    ours, peers = _cell(results, "ours", 1), _peer_cells(results, 1)
    if ours and peers:
        name, best = min(peers.items(), key=lambda item: item[1].p50_ms)
        found.append(
            Ratio(
                "p50 at 1 client / best peer's",
                ours.p50_ms / best.p50_ms,
                f"{ours.p50_ms:.2f} ms / {best.p50_ms:.2f} ms ({name})",
            )
        )
    return found


def _against_mosec(results: Results) -> list[Ratio]:
    found = []
    for clients in (1, 16, 64, 256):
        ours, theirs = (_cell(results, name, clients, noop=True) for name in ("ours", MOSEC))
        if ours and theirs:
            found.append(
                Ratio(
                    f"CPU per request at {_clients(clients)} without network / mosec's",
                    ours.cpu_ms_per_request / theirs.cpu_ms_per_request,
                    f"{ours.cpu_ms_per_request:.3f} ms / {theirs.cpu_ms_per_request:.3f} ms",
                )
            )
    for noop in (False, True):
        for clients in (16, 64):
            ours, theirs = (_cell(results, name, clients, noop=noop) for name in ("ours", MOSEC))
            if ours and theirs:
                network = "without" if noop else "with"
                found.append(
                    Ratio(
                        f"p99 at {_clients(clients)} {network} network / mosec's",
                        ours.p99_ms / theirs.p99_ms,
                        f"{ours.p99_ms:.1f} ms / {theirs.p99_ms:.1f} ms",
                    )
                )
    return found


def _clients(count: int) -> str:
    return f"{count} client{'s' * (count > 1)}"


def _servers(results: Results) -> list[Measured]:
    return results.serving.servers if results.serving else []


def _cell(results: Results, server: str, clients: int, *, noop: bool = False) -> Cell | None:
    """Returns the one that answered anything; a cell with errors only compares nothing."""
    for measured in _servers(results):
        if measured.server == server and measured.noop == noop:
            for cell in measured.cells:
                if cell.clients == clients and cell.requests:
                    return cell
    return None


def _peer_cells(results: Results, clients: int) -> dict[str, Cell]:
    names = {measured.server for measured in _servers(results)}
    peers = sorted(name for name in names if name.partition(":")[0] != "ours")
    cells = {name: _cell(results, name, clients) for name in peers}
    return {name: cell for name, cell in cells.items() if cell}
