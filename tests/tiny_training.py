"""The training commands with a tiny `dcgan-mnist`, for tests that need a process of their own."""

import sys
from dataclasses import replace

from model.training.__main__ import main
from model.training.presets import PRESETS
from tests.conftest import TINY

TINY_PRESET = replace(
    PRESETS["dcgan-mnist"], config=replace(PRESETS["dcgan-mnist"].config, network=TINY)
)

if __name__ == "__main__":
    PRESETS["dcgan-mnist"] = TINY_PRESET
    sys.exit(main())
