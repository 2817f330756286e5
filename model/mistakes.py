"""Mistakes that the user can correct, and packages that are not here: every command tells them in
one line, without a traceback.

    told(run) -> run's own status, or 2 and "error: what is wrong, and what helps"
"""

import errno
import json
import os
import shlex
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

# packages that not every copy has, and the extra that brings each
EXTRAS = {
    "torch": "gpu",
    "matplotlib": "train",
    "pooch": "train",
    "requests": "train",
    "scipy": "train",
    "tensorboard": "train",
    "torch_fidelity": "fidelity",
    "av": "video",
    "c2pa": "c2pa",
    "huggingface_hub": "hub",
}
ROOT = Path(__file__).parent.parent
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SYSTEMS = (
    "ganserve runs on Linux and macOS; on Windows, run it in WSL (wsl --install) or with Docker"
)


class Mistake(Exception):
    """The user can correct it; the message says what is wrong and what is allowed."""


def is_checkout() -> bool:
    """Checks whether this copy lies in a checkout of the repository, and was not installed."""
    return (ROOT / "pyproject.toml").is_file()


def install(extra: str = "") -> str:
    """Returns the command that installs an extra, or what every copy needs: a checkout in its own
    folder, another copy from where it was installed.
    """
    python = shlex.quote(sys.executable)
    if not is_checkout():
        named = f"ganserve[{extra}]" if extra else "ganserve"
        return f"{python} -m pip install {shlex.quote(named + _origin())}"
    make = f"make -C {shlex.quote(str(ROOT))}"
    if not extra:
        return f"{make} serve"
    if extra in ("gpu", "train") and Path(sys.prefix) == ROOT / ".venv":
        return f"{make} training"  # it knows which build of PyTorch suits this machine
    place = shlex.quote(f"{ROOT}[{extra}]")
    return f"{python} -m pip install -e {place}"


def _origin() -> str:
    """Returns where this copy was installed from, where that is no index (PEP 610)."""
    try:
        text = metadata.distribution("ganserve").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return ""
    return f" @ {json.loads(text)['url']}" if text else ""


def told(run: Callable[[], int], extra: str = "") -> int:
    """Runs a command; returns its exit status: its own, 1 where it was stopped or nobody reads its
    output any more, 2 for a mistake, a full disk, or a package that is not here. `extra` is the one
    that brings everything the command needs.
    """
    try:
        try:
            status = run()
        finally:
            sys.stdout.flush()
    except Mistake as error:
        return _refused(str(error))
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if not package or package == __name__.partition(".")[0]:
            raise
        needed = EXTRAS.get(package, "")
        return _refused(f"{package} is not installed: {install(needed and (extra or needed))}")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at the end
        return 1
    except OSError as error:
        if error.errno not in FULL:
            raise
        place = error.filename or "the disk"
        return _refused(f"{place}: {error.strerror}; what was saved is whole")
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 1
    return status


def _refused(reason: str) -> int:
    print(f"error: {reason}", file=sys.stderr)
    return 2


def check_system(status: int) -> None:
    """Ends the process with this exit status, and one line, on a system that it does not run on."""
    if sys.platform == "win32":
        print(f"error: {SYSTEMS}", file=sys.stderr)
        sys.exit(status)
