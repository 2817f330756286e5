"""Official files over HTTP from loopback: fetched once, checked, refused where they are wrong."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from model.training.datasets import downloads
from model.training.datasets.dataset import DataError, load
from model.training.datasets.downloads import OFFICIAL, fetch


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def base_url(digits: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(digits))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def registry(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives MNIST's entry the checksums of the small files."""
    hashes = {
        file.name: "sha256:" + hashlib.sha256(file.read_bytes()).hexdigest()
        for file in digits.iterdir()
    }
    monkeypatch.setitem(OFFICIAL, "mnist", replace(OFFICIAL["mnist"], registry=hashes))


def test_files_are_fetched_checked_and_readable(
    tmp_path: Path, base_url: str, registry: None
) -> None:
    folder = fetch("mnist", cache=tmp_path, base_url=base_url)
    assert len(load(folder, "train", side=28, channels=1)) == 320


def test_files_that_are_there_are_not_fetched_again(
    tmp_path: Path, base_url: str, registry: None
) -> None:
    fetch("mnist", cache=tmp_path, base_url=base_url)
    folder = fetch("mnist", cache=tmp_path, base_url="http://127.0.0.1:9")
    assert len(list(folder.iterdir())) == 4


def test_wrong_content_is_refused(tmp_path: Path, base_url: str) -> None:
    with pytest.raises(DataError, match="does not match its checksum"):
        fetch("mnist", cache=tmp_path, base_url=base_url)


def test_missing_file_is_refused(tmp_path: Path, base_url: str) -> None:
    with pytest.raises(DataError, match="cannot be downloaded"):
        fetch("svhn", cache=tmp_path, base_url=base_url)


def test_silent_host_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be downloaded"):
        fetch("mnist", cache=tmp_path, base_url="http://127.0.0.1:9")


def test_unknown_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="known: mnist, fashion-mnist, svhn"):
        fetch("imagenet", cache=tmp_path)


def test_registry_names_the_files_that_the_readers_read() -> None:
    from model.training.datasets.dataset import IDX_FILES, SVHN_FILES

    idx = {f"{name}.gz" for pair in IDX_FILES.values() for name in pair}
    assert set(downloads.OFFICIAL["mnist"].registry) == idx
    assert set(downloads.OFFICIAL["fashion-mnist"].registry) == idx
    assert set(downloads.OFFICIAL["svhn"].registry) == set(SVHN_FILES.values())
