"""docs/draw's module in Node.js, with ONNX Runtime Web."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULE = ROOT / "docs" / "draw" / "ganserve-draw.js"
RUNTIME = ROOT / "docs" / "examples" / "node_modules" / "onnxruntime-web"
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
needs_runtime = pytest.mark.skipif(
    shutil.which("node") is None or not RUNTIME.exists(),
    reason="node is not installed, or npm ci --prefix docs/examples has not been run",
)


def node(code: str, *arguments: object) -> list[str]:
    """Runs a module's text; returns the lines that it prints."""
    command = ["node", "--input-type=module", "-e", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()
