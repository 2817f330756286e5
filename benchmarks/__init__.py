"""The numbers of the README, each made by one command: `python -m benchmarks --help`."""
