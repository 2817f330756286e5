"""The numbers of the README, each made by one command: `python -m benchmarks --help`."""

import os

# ONNX Runtime's Linux builds report to their maker unless told not to before they are loaded
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
