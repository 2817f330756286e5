"""Results as Markdown: one table a part, rows for `docs/figures.md`, the ratios at the end."""

from collections.abc import Sequence

from benchmarks.generator import best_raw
from benchmarks.peers import kinds
from benchmarks.ratios import ratios
from benchmarks.results import EncodersPart, GeneratorPart, Machine, OverloadPart, Results


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a Markdown table; the first column is text, the others are numbers."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *rows])


def text_of(results: Results, wanted: Sequence[str]) -> str:
    """Returns the wanted parts as far as they were measured, and all ratios."""
    parts = []
    if results.generator and "generator" in wanted:
        parts.append(_generator(results.generator))
    if results.encoders and "encoders" in wanted:
        parts.append(_encoders(results.encoders))
    if results.serving and "serving" in wanted:
        parts.append(_serving(results))
    if results.overload and "overload" in wanted:
        parts.append(_overload(results.overload))
    if results.serving and "serving" in wanted:
        parts.append(_figures(results))
    found = ratios(results)
    if found:
        rows = [[ratio.name, f"{ratio.value:.2f}", ratio.how] for ratio in found]
        parts.append("## Ratios\n\n" + table(["ratio", "value", "of"], rows))
    return "\n\n".join(parts) + "\n"


def _serving(results: Results) -> str:
    assert results.serving is not None
    part = results.serving
    lines = [
        "## Serving",
        _where(part.machine),
        f"{part.seconds:g} s a cell, {part.rounds} round(s). A cell: requests/s (p50 / p99 ms), "
        "CPU ms a request; errors where there were any.",
    ]
    for noop, title in ((False, "With the network"), (True, "Without the network")):
        servers = [measured for measured in part.servers if measured.noop == noop]
        if not servers:
            continue
        clients = [cell.clients for cell in servers[0].cells]
        head = [
            title,
            *(f"{count} client{'s' * (count > 1)}" for count in clients),
            "ready s",
            "idle cores",
            "MiB",
        ]
        rows = []
        for measured in servers:
            cells = [
                f"{cell.requests_per_second:.0f} ({cell.p50_ms:.1f} / {cell.p99_ms:.1f}) "
                f"{cell.cpu_ms_per_request:.2f}"
                + (f", {cell.errors} errors" if cell.errors else "")
                for cell in measured.cells
            ]
            costs = [f"{measured.ready_seconds:.1f}", f"{measured.idle_cores:.2f}"]
            rows.append([measured.server, *cells, *costs, f"{measured.memory / 2**20:.0f}"])
        lines.append(table(head, rows))
    if results.generator:
        for batch in (64, 1):
            row = best_raw(results.generator.rows, batch, "cpu_ms_per_picture")
            if row:
                lines.append(
                    f"Raw limit, batch {batch}: {row.cpu_ms_per_picture:.3f} CPU ms a picture "
                    f"({row.runtime}, {row.precision}, {row.threads} thread(s))."
                )
    return "\n\n".join([*lines, *_skipped(part.skipped)])


def _figures(results: Results) -> str:
    """Returns the serving part as `docs/figures.md` shows it; the best of each column is bold."""
    assert results.serving is not None
    lines = ["## Rows for docs/figures.md"]
    for noop, what in ((False, "requests/s"), (True, "without the network: requests/s")):
        servers = [measured for measured in results.serving.servers if measured.noop == noop]
        if not servers:
            continue
        best = [
            max(cell.requests_per_second for cell in column)
            for column in zip(*(measured.cells for measured in servers), strict=True)
        ]
        rows = []
        for measured in servers:
            cells = []
            for cell, most in zip(measured.cells, best, strict=True):
                speed = f"{cell.requests_per_second:.0f}"
                speed = f"**{speed}**" if cell.requests_per_second == most else speed
                cells.append(f"{speed} ({_short(cell.p50_ms)} / {_short(cell.p99_ms)})")
            memory = f"{measured.memory / 2**20:.0f}"
            ready = f"{measured.ready_seconds:.1f}"
            rows.append([kinds.title(measured.server), *cells, memory, ready])
        clients = [cell.clients for cell in servers[0].cells]
        head = [
            f"{what} (p50 / p99 ms)",
            *(f"{count} client{'s' * (count > 1)}" for count in clients),
            "MiB",
            "ready s",
        ]
        lines.append(table(head, rows))
    return "\n\n".join(lines)


def _short(ms: float) -> str:
    return f"{ms:.1f}" if ms < 10 else f"{ms:.0f}"


def _generator(part: GeneratorPart) -> str:
    peaks = "; ".join(
        f"{threads} thread(s): "
        + ", ".join(f"{name} {speed / 1e9:.0f}" for name, speed in by_precision.items())
        for threads, by_precision in part.peaks.items()
    )
    rows = [
        [
            f"{row.runtime} {row.precision}",
            str(row.threads),
            str(row.batch),
            f"{row.ms:.2f}",
            f"{row.cpu_ms_per_picture:.3f}",
            f"{row.pictures_per_second:.0f}",
            f"{row.share_of_peak:.0%}",
            f"{row.pixel_error:.0f}",
            f"{row.wrong_pixels:.2%}",
        ]
        for row in part.rows
    ]
    head = [
        "generator alone", "threads", "batch", "ms a batch", "CPU ms a picture", "pictures/s",
        "of peak", "pixel error", "pixels off",
    ]  # fmt: skip
    return "\n\n".join(
        [
            "## Generator",
            _where(part.machine),
            f"{part.multiply_adds / 1e6:.1f} million multiply-adds a picture. Matrix product, "
            f"billion multiply-adds/s: {peaks}.",
            table(head, rows),
            *_skipped(part.skipped),
        ]
    )


def _encoders(part: EncodersPart) -> str:
    rows = [
        [row.encoder, row.form, f"{row.microseconds:.1f}", f"{row.bytes:.0f}"] for row in part.rows
    ]
    head = ["encoder", "pictures", "CPU microseconds", "bytes"]
    return "\n\n".join(["## Encoders", _where(part.machine), table(head, rows)])


def _overload(part: OverloadPart) -> str:
    rows = []
    for curve in part.curves:
        for point in curve.points:
            rows.append(
                [
                    curve.server,
                    f"{point.offered:.0f}",
                    f"{point.offered / curve.limit:.2f}",
                    f"{point.goodput:.0f}",
                    f"{point.in_time:.0f}",
                    f"{point.refused:.0f}",
                    f"{point.other:.0f}",
                    _ms(point.p50_ms),
                    _ms(point.p99_ms),
                    _ms(point.refused_p99_ms),
                    f"{point.cpu_ms_per_picture:.2f}",
                    _ms(point.late_ms),
                ]
            )
    head = [
        "past the limit", "offered/s", "of limit", "pictures/s", "in 1 s", "refused/s", "failed/s",
        "p50 ms", "p99 ms", "refusal p99 ms", "CPU ms a picture", "client late ms",
    ]  # fmt: skip
    return "\n\n".join(
        ["## Overload", _where(part.machine), table(head, rows), *_skipped(part.skipped)]
    )


def _where(machine: Machine) -> str:
    return (
        f"{machine.when}: {machine.cores} cores, {machine.processor}, "
        f"load {machine.load_average:.1f} before."
    )


def _skipped(reasons: list[str]) -> list[str]:
    lines = []
    for reason in reasons:
        first, *_, last = [*reason.strip().splitlines(), ""]
        lines.append(f"Skipped: {first} {last}".rstrip())
    return lines


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
