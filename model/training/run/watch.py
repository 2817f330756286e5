"""A run watched in a browser on the same machine, while it trains or later.

run folder -> the same files that `export` writes of it, made anew when somebody looks -> the view
that the explorer teaches with; pause, one step, back to a checkpoint -> the loop's `stop`

It listens on the loopback interface alone. What changes the run wants a header that no other site's
page can send, and a Host that is this machine: neither a link nor a rebound name steers a run.
"""

import argparse
import json
import re
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from model.files import OutputError
from model.generator_file import HISTORY, HISTORY_SHEET
from model.training.commands.arguments import Number
from model.training.run.checkpoint import newest_first
from model.training.run.history import QUICK, write_history
from model.training.run.run_folder import RunError
from model.training.run.run_log import STATS, last_row

HOST, PORT = "127.0.0.1", 8010
STEERING = "X-Watch"  # the header of a request that changes something
PAGE = Path(__file__).parents[3] / "app" / "page"  # read as files, never imported
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
POLICY += "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
CUT = re.compile(rb'<link rel="modulepreload"[^>]*>\n|<footer>.*?</footer>\n', re.DOTALL)
JSON = "application/json"


class Control:
    """Lets a run go on, wait, take one step, or end so that it may go back. The loop asks it after
    each step, in place of the `stop` that it hands on.
    """

    def __init__(self, stop: Callable[[], bool]) -> None:
        self._stop, self._change = stop, threading.Condition()
        self.paused, self._steps = False, 0
        self.back: int | None = None  # the images seen by the checkpoint to go back to

    def __call__(self) -> bool:
        """Waits while the run is paused; returns whether it is to end."""
        with self._change:
            while self.paused and not self._steps and self.back is None and not self._stop():
                self._change.wait(0.2)
            self._steps = max(0, self._steps - 1)
            return self.back is not None or self._stop()

    def say(self, word: str, images_seen: int = 0) -> None:
        """Changes what the run does: pause, go, step, or back."""
        with self._change:
            if word == "step":
                self._steps += 1
            else:
                self.paused = word == "pause"
            if word == "back":
                self.back = images_seen
            self._change.notify_all()


def go_back(run: Path, images_seen: int) -> None:
    """Makes a checkpoint the newest: what came after it is removed, and will be made again."""
    for path in newest_first(run / "checkpoints"):
        if _count(path) > images_seen:
            path.unlink()
    for path in (run / "grids").glob("*.png"):
        if _count(path) > images_seen:
            path.unlink()


def _count(path: Path) -> int:
    return int(path.stem.rsplit("-", 1)[-1])


class Watch:
    """Serves one run folder while the block lasts; where a run is controlled, it can be steered."""

    def __init__(self, run: Path, port: int = PORT, control: Control | None = None) -> None:
        self.run, self.control = run, control
        self._made: tuple[int, dict[str, bytes]] = (-1, {})
        self._making = threading.Lock()
        handler = type("Handler", (_Handler,), {"watch": self})
        try:
            self._server = ThreadingHTTPServer((HOST, port), handler)
        except OSError as error:
            raise OutputError(f"port {port}: cannot listen there ({error.strerror})") from None
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self.address = f"http://{HOST}:{self.port}"

    def __enter__(self) -> "Watch":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def history(self) -> dict[str, bytes]:
        """Returns the history of the run so far, made anew only where there is another grid."""
        with self._making:
            grids = len(list((self.run / "grids").glob("[0-9]*.png")))
            if grids != self._made[0]:
                with tempfile.TemporaryDirectory() as folder:
                    write_history(self.run, Path(folder), 10**12, reals=True, qualities=QUICK)
                    names = [HISTORY, HISTORY_SHEET]
                    paths = [Path(folder) / name for name in names]
                    found = {path.name: path.read_bytes() for path in paths if path.is_file()}
                self._made = grids, found
            return self._made[1]

    def state(self) -> dict[str, Any]:
        """Returns what the run is about."""
        last = last_row(self.run / STATS) or {"images_seen": 0}
        checkpoints = newest_first(self.run / "checkpoints")
        return {
            "run": self.run.name,
            "images_seen": last["images_seen"],
            "images_per_second": last.get("images_per_second", 0),
            "moments": len(list((self.run / "grids").glob("[0-9]*.png"))),
            "steered": self.control is not None,
            "paused": self.control is not None and self.control.paused,
            "checkpoints": [_count(path) for path in checkpoints],
        }

    def steer(self, word: str, images_seen: int) -> bool:
        """Steers the run as was asked; returns whether it could be."""
        known = images_seen in self.state()["checkpoints"] if word == "back" else True
        if self.control is None or word not in ("pause", "go", "step", "back") or not known:
            return False
        self.control.say(word, images_seen)
        return True


def _page() -> bytes:
    """Returns the explorer's page, with the view of a run in place of its own modules."""
    index = CUT.sub(b"", (PAGE / "index.html").read_bytes())
    return index.replace(b"page/main.js", b"page/watch.js")


class _Handler(BaseHTTPRequestHandler):
    watch: Watch

    def handle(self) -> None:
        """Answers as long as somebody is there: one who leaves is no mistake of the run."""
        with suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        if not self._is_local():
            return self._answer(HTTPStatus.FORBIDDEN, b"")
        path = self.path.split("?")[0]
        if path == "/":
            return self._answer(HTTPStatus.OK, _page(), "text/html")
        if path == "/state.json":
            return self._answer(HTTPStatus.OK, json.dumps(self.watch.state()).encode(), JSON)
        if path.lstrip("/") in (HISTORY, HISTORY_SHEET):
            content = self.watch.history().get(path.lstrip("/"))
            if content is not None:
                kind = JSON if path.endswith("json") else "image/webp"
                return self._answer(HTTPStatus.OK, content, kind)
        file = PAGE / path.removeprefix("/page/")
        if file.parent == PAGE and file.suffix in TYPES and file.is_file():
            return self._answer(HTTPStatus.OK, file.read_bytes(), TYPES[file.suffix])
        return self._answer(HTTPStatus.NOT_FOUND, b"")

    def do_POST(self) -> None:
        if not self._is_local() or STEERING not in self.headers:
            return self._answer(HTTPStatus.FORBIDDEN, b"")
        word, _, count = self.path.lstrip("/").partition("/")
        images_seen = int(count) if count.isdecimal() and len(count) < 16 else -1
        done = self.watch.steer(word, images_seen)
        return self._answer(HTTPStatus.NO_CONTENT if done else HTTPStatus.CONFLICT, b"")

    def _is_local(self) -> bool:
        port = self.watch.port
        return self.headers.get("Host") in (f"{HOST}:{port}", f"localhost:{port}")

    def _answer(self, status: HTTPStatus, content: bytes, kind: str = "text/plain") -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8" if "image" not in kind else kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: the terminal is the run's."""


# --- the command ---


def add_command(commands: Any) -> None:
    """Adds `watch` to the commands."""
    watch = commands.add_parser(
        "watch",
        description="Shows a run in a browser on this machine: its grids, curves and verdicts, "
        "while it trains and after.",
        example="runs/00000-mnist-dcgan-mnist-batch128",
    )
    watch.add_argument("run", type=Path, help="run folder")
    watch.add_argument(
        "--port",
        type=Number(int, 0, 65535),
        default=PORT,
        help=f"port on the loopback interface; 0: any that is free (default: {PORT})",
    )
    watch.set_defaults(command=_watch)


def _watch(options: argparse.Namespace) -> int:
    if not (options.run / "grids").is_dir():
        raise RunError(f"{options.run}: no grids there; is it a run folder?")
    with Watch(options.run, options.port) as watch:
        print(f"{watch.address} shows {options.run}; Ctrl-C ends it", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return 0
    return 0
