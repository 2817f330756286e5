"""Generators from and to the Hub, by its own library and a server on this machine that imitates
the little of it we need.
"""

import base64
import hashlib
import importlib.util
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from benchmarks.servers import free_port
from model import hub
from model.generator_file import (
    CARD,
    CONFIG,
    DISCRIMINATOR,
    WEIGHTS,
    GeneratorFileError,
    read_generator_file,
)
from model.mistakes import install
from model.pretrained import PretrainedGenerator
from model.upscaling.upscaler_file import UPSCALER
from tests.conftest import with_untrained_upscaler
from tests.services import TIMEOUT, fetch, service, start_and_fail

WRITER = "hf_writer"  # the token that may upload
COMMIT, OTHER = "0123456789abcdef" * 2 + "01234567", "f" * 40
FILE = re.compile(r"/owner/tiny/resolve/(\w+)/([\w.]+)")

needs_hub = pytest.mark.skipif(
    importlib.util.find_spec("huggingface_hub") is None, reason="needs the extra 'hub'"
)


@dataclass
class Hub:
    """What the server has, what it says of sizes, and what it was asked for."""

    files: dict[str, bytes]
    address: str = ""
    told: dict[str, int] = field(default_factory=dict)  # a size that is not true
    large: dict[str, bytes] = field(default_factory=dict)  # what was uploaded, by its SHA-256
    pushed: dict[str, bytes] | None = None  # the files of the last commit
    asked: list[str] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)


class Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.hub.asked.append(f"{self.command} {self.path}")
        self.hub.tokens.add(self.headers.get("Authorization"))
        if self.path == "/api/models/owner/tiny/refs":
            refs = {
                "branches": [{"name": "main", "ref": "refs/heads/main", "targetCommit": COMMIT}],
                "converts": [],
                "tags": [{"name": "v1", "ref": "refs/tags/v1", "targetCommit": COMMIT}],
            }
            self.answer(200, json.dumps(refs).encode())
        elif (match := FILE.fullmatch(self.path)) is None:
            self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})
        elif match[1] != COMMIT:
            self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        elif (content := self.hub.files.get(match[2])) is None:
            self.answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        else:
            tag = hashlib.sha256(content).hexdigest()
            head = {"X-Repo-Commit": COMMIT, "ETag": f'"{tag}"'}
            if match[2] in self.hub.told:
                head["X-Linked-Size"] = str(self.hub.told[match[2]])
            self.answer(200, content, head)

    def do_PUT(self) -> None:
        self.hub.asked.append(f"PUT {self.path}")
        content = self.body()
        if self.path != f"/large/{hashlib.sha256(content).hexdigest()}":
            return self.answer(400, b"")
        self.hub.large[self.path.rpartition("/")[2]] = content
        return self.answer(200, b"")

    def do_POST(self) -> None:
        self.hub.asked.append(f"POST {self.path}")
        self.hub.tokens.add(self.headers.get("Authorization"))
        body = self.body()
        if self.headers.get("Authorization") != f"Bearer {WRITER}":
            return self.answer(401, b'{"error": "Invalid credentials"}')
        if self.path == "/api/models/owner/tiny/commit/main":
            lines = [json.loads(line) for line in body.splitlines()]
            files = [line["value"] for line in lines if line["key"] in ("file", "lfsFile")]
            self.hub.pushed = {
                file["path"]: self.hub.large[file["oid"]]
                if "oid" in file
                else base64.b64decode(file["content"])
                for file in files
            }
            place = {"commitUrl": f"{self.hub.address}/owner/tiny/commit/{COMMIT}"}
            return self.answer(200, json.dumps({**place, "commitOid": COMMIT}).encode())
        asked = json.loads(body)
        match self.path:
            case "/api/repos/create":
                found: object = {"url": f"{self.hub.address}/{asked['organization']}/tiny"}
            case "/api/validate-yaml":
                found = {"errors": [], "warnings": []}
            case "/api/models/owner/tiny/preupload/main":
                found = {
                    "files": [
                        {
                            "path": file["path"],
                            "uploadMode": "lfs" if file["path"] == WEIGHTS else "regular",
                            "shouldIgnore": False,
                        }
                        for file in asked["files"]
                    ]
                }
            case "/owner/tiny.git/info/lfs/objects/batch":
                found = {
                    "objects": [
                        {
                            **one,
                            "actions": {
                                "upload": {"href": f"{self.hub.address}/large/{one['oid']}"}
                            },
                        }
                        for one in asked["objects"]
                    ]
                }
            case _:
                return self.answer(404, b"")
        return self.answer(200, json.dumps(found).encode())

    def body(self) -> bytes:
        """Reads what was sent, in chunks or with its length."""
        if (length := self.headers.get("Content-Length")) is not None:
            return self.rfile.read(int(length))
        content = b""
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    def answer(self, status: int, content: bytes, head: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (head or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def server(generator_folder: Path) -> Iterator[Hub]:
    files = {name: (generator_folder / name).read_bytes() for name in (CONFIG, WEIGHTS, CARD)}
    found = Hub(files | {"model.bin": b"never to be fetched"})
    handler = type("BoundHandler", (Handler,), {"hub": found})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listener:
        found.address = f"http://127.0.0.1:{listener.server_port}"
        threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True).start()
        yield found
        listener.shutdown()


@pytest.fixture
def here(server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """Returns the server, as the Hub of this process, with an empty cache."""
    constants = pytest.importorskip("huggingface_hub").constants
    template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    return server


def refused(name: str) -> str:
    with pytest.raises(GeneratorFileError) as error:
        hub.fetch(name)
    text = str(error.value)
    assert text.startswith(name)
    assert len(text.splitlines()) == 1
    return text


@pytest.mark.parametrize("revision", [COMMIT, "v1"])
def test_commit_and_tag_give_the_same_generator(
    here: Hub, generator_folder: Path, revision: str
) -> None:
    folder = hub.fetch(f"hf:owner/tiny@{revision}")
    assert {path.name for path in folder.iterdir()} == {CONFIG, WEIGHTS, CARD}
    assert read_generator_file(folder).config == read_generator_file(generator_folder).config


def test_discriminator_is_fetched_only_where_it_is_asked_for(here: Hub) -> None:
    name = f"hf:owner/tiny@{COMMIT}"
    here.files[DISCRIMINATOR] = b"of the generator"
    assert not (hub.fetch(name) / DISCRIMINATOR).exists()
    assert (hub.fetch(name, DISCRIMINATOR) / DISCRIMINATOR).read_bytes() == b"of the generator"


def test_upscaler_that_the_config_names_is_fetched_too(
    here: Hub, generator_folder: Path, tmp_path: Path
) -> None:
    name, source = f"hf:owner/tiny@{COMMIT}", tmp_path / "upscaled"
    with_untrained_upscaler(generator_folder, source)
    here.files |= {file: (source / file).read_bytes() for file in (CONFIG, UPSCALER)}
    folder = hub.fetch(name)
    assert {path.name for path in folder.iterdir()} == {CONFIG, WEIGHTS, CARD, UPSCALER}
    assert read_generator_file(folder).config == read_generator_file(source).config
    here.asked.clear()
    assert hub.fetch(name) == folder
    assert here.asked == []


def test_upscaler_that_the_config_names_and_the_repository_lacks_is_missed(
    here: Hub, generator_folder: Path, tmp_path: Path
) -> None:
    source = with_untrained_upscaler(generator_folder, tmp_path / "upscaled")
    here.files[CONFIG] = (source / CONFIG).read_bytes()
    assert f"{UPSCALER} is not in the repository" in refused(f"hf:owner/tiny@{COMMIT}")


@pytest.mark.parametrize("revision", [None, "main", "v1", COMMIT])
def test_library_takes_a_branch_too(
    here: Hub, generator_folder: Path, revision: str | None
) -> None:
    found = PretrainedGenerator.from_pretrained("owner/tiny", revision=revision, device="cpu")
    assert found.config == read_generator_file(generator_folder).config
    assert found.folder.name == COMMIT


@pytest.mark.parametrize(
    ("name", "revision", "reason"),
    [
        ("owner/tiny", "v9", "neither a tag nor a branch v9"),
        ("owner/tiny", OTHER, "no such revision"),
        ("owner/tiny", "../x", "a commit, a tag or a branch"),
        ("owner/none", None, "no such repository"),
        ("owner/..", None, "owner/name is wanted"),
        ("none", None, "neither a folder, nor in the zoo, nor owner/name"),
        ("a/b/c", None, "neither a folder, nor in the zoo, nor owner/name"),
    ],
)
def test_what_the_library_cannot_find_is_refused(
    here: Hub, name: str, revision: str | None, reason: str
) -> None:
    with pytest.raises(GeneratorFileError, match=reason):
        PretrainedGenerator.from_pretrained(name, revision=revision)


def test_commit_that_is_here_needs_no_network(here: Hub) -> None:
    first = hub.fetch(f"hf:owner/tiny@{COMMIT}")
    here.asked.clear()
    assert hub.fetch(f"hf:owner/tiny@{COMMIT}") == first
    assert here.asked == []


def test_no_other_file_is_asked_for_and_no_token_sent(here: Hub) -> None:
    hub.fetch(f"hf:owner/tiny@{COMMIT}")
    names = {line.rpartition("/")[2] for line in here.asked}
    assert names == {CONFIG, WEIGHTS, CARD}
    assert here.tokens == {None}


def test_token_is_sent_where_the_user_has_set_one(
    here: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.fetch("hf:owner/tiny@v1")
    assert here.tokens == {"Bearer hf_secret"}


def test_generator_without_a_card_is_good(here: Hub) -> None:
    del here.files[CARD]
    assert read_generator_file(hub.fetch(f"hf:owner/tiny@{COMMIT}")).config.name == "tiny"


@pytest.mark.parametrize(
    "name",
    [
        "hf:owner/tiny",
        "hf:owner/tiny@",
        "hf:tiny@v1",
        "hf:owner/../tiny@v1",
        "hf:owner/tiny/more@v1",
        "hf:./tiny@v1",
        "hf:owner/tiny@-v1",
    ],
)
def test_name_that_is_not_whole_is_refused_with_what_is_wanted(name: str) -> None:
    assert "hf:owner/name@revision is wanted" in refused(name)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        pytest.param("hf:owner/tiny@main", "no tag main; .* never a branch", id="branch"),
        pytest.param("hf:owner/tiny@v9", "no tag v9", id="no-such-tag"),
        pytest.param(f"hf:owner/tiny@{COMMIT[:8]}", "40 hex digits", id="short-commit"),
        pytest.param(f"hf:owner/tiny@{OTHER}", "no such revision", id="no-such-commit"),
        pytest.param(f"hf:owner/none@{COMMIT}", "no such repository", id="no-such-repository"),
        pytest.param("hf:owner/none@v1", "no such repository", id="no-such-repository-by-tag"),
    ],
)
def test_what_the_hub_does_not_have_is_refused(here: Hub, name: str, reason: str) -> None:
    assert re.search(reason, refused(name))


@pytest.mark.parametrize("file", [CONFIG, WEIGHTS])
def test_missing_file_is_named(here: Hub, file: str) -> None:
    del here.files[file]
    assert f"{file} is not in the repository" in refused(f"hf:owner/tiny@{COMMIT}")


def test_file_that_is_too_large_is_not_downloaded(here: Hub) -> None:
    here.told[WEIGHTS] = 2**40
    assert "more than the 1,073,741,824 allowed" in refused(f"hf:owner/tiny@{COMMIT}")
    assert f"GET /owner/tiny/resolve/{COMMIT}/{WEIGHTS}" not in here.asked


def test_file_of_another_length_than_told_is_refused(here: Hub, tmp_path: Path) -> None:
    here.told[WEIGHTS] = 1000
    assert "cannot be downloaded" in refused(f"hf:owner/tiny@{COMMIT}")
    assert not list((tmp_path / "cache").rglob(WEIGHTS))


def test_download_that_never_ends_is_cut_off(here: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "MAX_WEIGHT_BYTES", 1000)
    here.told[WEIGHTS] = 1000
    assert "longer than the Hub has told" in refused(f"hf:owner/tiny@{COMMIT}")


def test_hub_that_does_not_answer_is_refused_at_once(
    here: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = sys.modules["huggingface_hub"].constants
    closed = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setattr(constants, "ENDPOINT", closed)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", closed + "/{repo_id}/{revision}")
    for revision in (COMMIT, "v1"):
        reason = refused(f"hf:owner/tiny@{revision}")
        assert "cannot be downloaded (ConnectError)" in reason


def test_without_the_extra_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "HAS_HUB", False)
    assert install("hub") in refused("hf:owner/tiny@v1")


@needs_hub
def test_service_draws_by_a_generator_of_the_hub(server: Hub, tmp_path: Path) -> None:
    settings = {"HF_ENDPOINT": server.address, "HF_HOME": str(tmp_path)}
    with service(f"hf:owner/tiny@{COMMIT}", **settings) as (_, address):
        assert fetch(f"{address}/generate?seed=7").startswith(b"\x89PNG")
    shutil.rmtree(tmp_path / "hub")
    lines = start_and_fail(GAN_GENERATOR="hf:owner/tiny@main", **settings)
    (why,) = [line for line in lines if "cannot start" in line]
    assert "never a branch" in why


def pushed(
    server: Hub, folder: Path, place: Path, token: str | None
) -> subprocess.CompletedProcess[str]:
    """Uploads a folder by the command, as somebody with this token; `place` is the Hub's cache."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment = {**plain, "HF_ENDPOINT": server.address, "HF_HOME": str(place)}
    if token:
        environment["HF_TOKEN"] = token
    return subprocess.run(
        [sys.executable, "-m", "model.training", "push", str(folder), "owner/tiny"],
        env=environment,
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


@needs_hub
def test_what_is_pushed_is_what_is_served_at_its_commit(
    here: Hub, generator_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(generator_folder, tmp_path / "tiny"))
    for name in ("pytorch_model.bin", "weights.pkl", "checkpoint.pt", ".env"):
        (folder / name).write_bytes(pickle.dumps("never to be uploaded"))
    done = pushed(here, folder, tmp_path / "cache", WRITER)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{here.address}/owner/tiny/commit/{COMMIT}\n"
    assert here.pushed is not None
    kept = {CONFIG, WEIGHTS, CARD}
    assert here.pushed == {name: (generator_folder / name).read_bytes() for name in kept}
    here.files = here.pushed | {"pytorch_model.bin": pickle.dumps("never to be fetched")}
    here.asked.clear()
    served = PretrainedGenerator.from_pretrained("owner/tiny", revision=COMMIT, device="cpu")
    own = PretrainedGenerator.from_pretrained(generator_folder, device="cpu")
    assert (served.generate([7]) == own.generate([7])).all()
    assert {path.name for path in served.folder.iterdir()} == kept
    assert not any("pytorch_model" in line for line in here.asked)


@needs_hub
@pytest.mark.parametrize("token", [None, "hf_reader"])
def test_who_may_not_write_uploads_nothing(
    server: Hub, generator_folder: Path, tmp_path: Path, token: str | None
) -> None:
    done = pushed(server, generator_folder, tmp_path, token)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: owner/tiny: cannot be uploaded (")
    assert "a token that may write there is wanted" in line
    assert server.pushed is None
    assert server.large == {}


@needs_hub
def test_weights_of_the_hub_that_are_a_pickle_are_refused(here: Hub) -> None:
    here.files[WEIGHTS] = pickle.dumps({"layer": [0.0]})
    with pytest.raises(GeneratorFileError) as error:
        PretrainedGenerator.from_pretrained("owner/tiny", revision=COMMIT)
    assert len(str(error.value).splitlines()) == 1


def test_library_is_not_loaded_where_no_such_name_is_given() -> None:
    code = (
        "import sys, app.server.loading; from app.settings import Settings;"
        "app.server.loading.generator_folder('mnist'); print('huggingface_hub' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
