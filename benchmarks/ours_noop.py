"""`python -m benchmarks.ours_noop`: our service with the network taken out, else as it ships."""

import sys
from typing import Any

import app.server.loading
from app.commands import main
from benchmarks.noop import NoopGenerator


def load_noop(*_arguments: Any, **_options: Any) -> NoopGenerator:
    """Takes what `model.samplers.sampler.load_sampler` takes; nothing is loaded."""
    return NoopGenerator()


# not below: further worker processes import this file again, under another name
vars(app.server.loading)["load_sampler"] = load_noop
vars(app.server.loading)["check_golden"] = lambda *_: (
    True
)  # its pictures are others, and that is no mistake

if __name__ == "__main__":
    sys.exit(main())
