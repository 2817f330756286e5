"""The systems that this runs on."""

import sys

SYSTEMS = (
    "ganserve runs on Linux and macOS; on Windows, run it in WSL (wsl --install) or with Docker"
)


def check_system(status: int) -> None:
    """Ends the process with this exit status, and one line, on a system that it does not run on."""
    if sys.platform == "win32":
        print(f"error: {SYSTEMS}", file=sys.stderr)
        sys.exit(status)
