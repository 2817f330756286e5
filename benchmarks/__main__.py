"""`python -m benchmarks [part]`: measures, prints Markdown, leaves JSON and plots in a folder."""

import argparse
import sys
from pathlib import Path

from benchmarks import encoders, generator, overload, results, serving
from benchmarks.load import CLIENTS
from benchmarks.peers.kinds import DEFAULT, choose
from benchmarks.plots import draw
from benchmarks.results import EncodersPart, GeneratorPart, OverloadPart, ServingPart, this_machine
from benchmarks.runtimes import dcgan, multiply_adds, shipped
from benchmarks.tables import text_of

PARTS = ("generator", "encoders", "serving", "overload")
QUICK_CLIENTS, QUICK_FACTORS = (1, 64), (0.8, 2.0)


def main() -> int:
    """Runs the parts that were asked for; those of an earlier run stay beside them."""
    arguments = _parser().parse_args()
    if arguments.quick:
        arguments.seconds = min(arguments.seconds, 1.0)
    output: Path = arguments.output
    file = output / "results.json"
    found = results.load(file)
    chosen = PARTS if arguments.part == "all" else (arguments.part,)
    for part in chosen:
        {
            "generator": _generator,
            "encoders": _encoders,
            "serving": _serving,
            "overload": _overload,
        }[part](found, arguments)
        results.save(found, file)
    (output / "results.md").write_text(text_of(found, PARTS))
    print(text_of(found, chosen))
    paths = [file, output / "results.md", *draw(found, output)]
    print("Written:", ", ".join(str(path) for path in paths), file=sys.stderr)
    return 0


def _generator(found: results.Results, arguments: argparse.Namespace) -> None:
    machine, peaks = this_machine(), dict[str, dict[str, float]]()
    rows, skipped = list[generator.Row](), list[str]()
    for threads in arguments.raw_threads:
        some, peak, missed = generator.measure_all(arguments.seconds, threads)
        rows, skipped = rows + some, skipped + missed
        peaks[str(threads)] = peak
    found.generator = GeneratorPart(
        machine=machine,
        seconds=arguments.seconds,
        multiply_adds=multiply_adds(dcgan(shipped())),
        peaks=peaks,
        rows=rows,
        skipped=skipped,
    )


def _encoders(found: results.Results, arguments: argparse.Namespace) -> None:
    machine = this_machine()
    found.encoders = EncodersPart(machine=machine, rows=encoders.measure_all(arguments.seconds))


def _serving(found: results.Results, arguments: argparse.Namespace) -> None:
    machine = this_machine()
    servers, skipped = serving.measure_all(
        arguments.peers,
        QUICK_CLIENTS if arguments.quick else arguments.clients,
        arguments.seconds,
        arguments.rounds,
        arguments.output / "logs",
    )
    found.serving = ServingPart(
        machine=machine,
        seconds=arguments.seconds,
        rounds=arguments.rounds,
        servers=servers,
        skipped=skipped,
    )


def _overload(found: results.Results, arguments: argparse.Namespace) -> None:
    machine = this_machine()
    factors = QUICK_FACTORS if arguments.quick else overload.FACTORS
    curves, skipped = overload.measure_all(
        arguments.overload, factors, arguments.seconds, arguments.output / "logs"
    )
    found.overload = OverloadPart(
        machine=machine, seconds=arguments.seconds, curves=curves, skipped=skipped
    )


def numbers(words: str) -> list[int]:
    """Returns the numbers of `1,2`."""
    return [int(word) for word in words.split(",")]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("part", nargs="?", default="all", choices=[*PARTS, "all"])
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument(
        "--peers",
        type=choose,
        default=DEFAULT,
        help="servers to measure, ours among them; name:N gives a batch N threads, name@onnx and "
        "name@ours give a peer another runtime (default: %(default)s)",
    )
    parser.add_argument(
        "--overload", type=choose, default="ours,mosec", help="servers to offer too much"
    )
    parser.add_argument("--rounds", type=int, default=1, help="of the serving part; medians count")
    parser.add_argument("--clients", type=numbers, default=CLIENTS, help="of serving, such as 1,64")
    parser.add_argument(
        "--raw-threads",
        type=numbers,
        default="1",
        help="threads of the generator alone, such as 1,2",
    )
    parser.add_argument("--quick", action="store_true", help="fewer loads, shorter: a smoke test")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
