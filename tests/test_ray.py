"""docs/examples/ray_shards.py on a Ray cluster of two nodes: the files of `generate --shards`."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from model.training.__main__ import main

NO_CLUSTER = 77  # status of tests/ray_cluster.py
ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "docs" / "examples" / "ray_shards.py"
# starting two nodes may take minutes on a busy machine, and a killed test would leave them
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed"),
]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_ray_makes_the_shards_of_one_process(folder: Path, tmp_path: Path) -> None:
    generator, which = str(folder / "pets"), ["--shard-size", "7"]
    command = [sys.executable, "-m", "tests.ray_cluster", str(EXAMPLE), generator, "50"]
    direct = {k: v for k, v in os.environ.items() if not k.upper().endswith("_PROXY")}
    done = subprocess.run(
        [*command, str(tmp_path / "ray"), *which],
        cwd=ROOT,
        env=direct | {"PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == NO_CLUSTER:
        pytest.skip(f"Ray starts no nodes here: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 of 8 shards generated now" in done.stdout
    alone = ["generate", generator, "--count", "50", "--device", "cpu", *which]
    assert main([*alone, "--shards", str(tmp_path / "one")]) == 0
    assert files(tmp_path / "ray") == files(tmp_path / "one")
