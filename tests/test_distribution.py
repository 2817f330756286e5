"""What is handed out: the wheel, which holds everything in one package, and the licence."""

import ast
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.engine.projector import ProjectionError, projector
from app.main import create_app
from app.settings import Settings
from ganserve import __version__
from model import mistakes
from model.classification.classifiers import SHIPPED_CLASSIFIERS
from model.devices import DeviceError
from model.generator_file import read_generator_file
from model.generators import DEFAULT, ZOO
from model.mistakes import install
from model.networks.families.dcgan import DCGANConfig
from model.samplers.sampler import load_sampler
from tests.conftest import write_tiny_generator
from tests.services import TIMEOUT, environment, fetch, service, wait_until, worker_ids

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = ("app", "model", "ganserve")
FILES = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
needs_hatchling = pytest.mark.skipif(
    importlib.util.find_spec("hatchling") is None, reason="needs hatchling, which builds the wheel"
)


def modules_in_strings(source: str) -> list[str]:
    """Finds modules of ours that are named in strings, where no change of names would find them:
    whole names, `-m` of a command, and what a server or a logger is told; docstrings may.
    """
    tree = ast.parse(source)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        if id(node) in docstrings:
            continue
        for name in re.findall(r"(?<![\w./-])(?:app|model)(?:\.\w+)*(?![\w/])", node.value):
            path = ROOT.joinpath(*name.split("."))
            is_module = "." in name and (path.is_dir() or path.with_suffix(".py").is_file())
            if is_module or f"-m {name}" in node.value:
                found.append(name)
    return found


def test_no_module_is_named_in_a_string() -> None:
    found = {str(file.relative_to(ROOT)): modules_in_strings(file.read_text()) for file in FILES}
    assert {file: names for file, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "source",
    [
        'import_module("app.commands")',
        'run("app.main:app")',
        'run(f"python -m model.training {x}")',
        'run("python -m app")',
        'files("model.training.classifiers")',
    ],
)
def test_module_in_a_string_would_be_found(source: str) -> None:
    assert len(modules_in_strings(source)) == 1
    assert modules_in_strings(f'def f():\n    """{source!r}"""') == []
    assert modules_in_strings('x = "model.safetensors", "model", "the app"') == []


def hook() -> ModuleType:
    pytest.importorskip("hatchling")
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("from app.main import create_app", "from ganserve.app.main import create_app"),
        ("from model import images", "from ganserve.model import images"),
        ("from model.x import (\n    a,\n)", "from ganserve.model.x import (\n    a,\n)"),
        ("import model.images as images", "import ganserve.model.images as images"),
        ("def f():\n    from model import hub", "def f():\n    from ganserve.model import hub"),
        ("é = 1; from model import hub", "é = 1; from ganserve.model import hub"),
        ("from models import x; import apple", "from models import x; import apple"),
        ("from ganserve import a", "from ganserve import a"),
        ("x = 'from app import x'  # from app", "x = 'from app import x'  # from app"),
    ],
)  # fmt: skip
def test_imports_are_renamed_and_nothing_else(before: str, after: str) -> None:
    assert hook().with_outer_names(before, Path("x.py")) == after


def test_import_that_would_bind_another_name_is_refused() -> None:
    with pytest.raises(ValueError, match="without `as`"):
        hook().with_outer_names("import model.images", Path("x.py"))


# --- each command imports what it needs ---

TRAINING = ("torch", "matplotlib", "pooch", "requests", "scipy", "tensorboard")
COMMANDS = """
import contextlib, io, json, sys
absent, lines = map(json.loads, sys.argv[1:])
sys.modules.update(dict.fromkeys(absent))
from ganserve.__main__ import main
results = []
for line in lines:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(line.split())
        except SystemExit as ending:
            status = ending.code
    results.append([status, out.getvalue(), err.getvalue()])
print(json.dumps(results))
"""


def without(absent: Iterable[str], *lines: str) -> list[tuple[int, str, str]]:
    """Runs command lines, one after another, where these packages are not installed; returns the
    status, the output and the errors of each.
    """
    arguments = (json.dumps(list(absent)), json.dumps(lines))
    command = [sys.executable, "-c", COMMANDS, *arguments]
    done = subprocess.run(
        command, env=environment(PYTHONPATH=str(ROOT)), stdout=subprocess.PIPE, check=True
    )
    return [(status, out, err) for status, out, err in json.loads(done.stdout)]


def test_command_needs_nothing_of_training(generator_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    for shade in range(12):
        Image.new("L", (32, 32), shade).save(tmp_path / "set" / f"{shade}.png")
    lines = [
        *("--help", "--version", "serve --help", "new-key"),
        *("generate --help", "interpolate --help", "onnx --help", "push --help", "data --help"),
        f"generate {generator_folder} --seeds 7 --output {tmp_path}/pictures",
        f"interpolate {generator_folder} --seeds 1,2 --frames 3 --output {tmp_path}/loop.webp",
        f"onnx {generator_folder} --output {tmp_path}/tiny.onnx",
    ]
    for status, out, err in without(TRAINING, *lines, f"data {tmp_path}/set"):
        assert (status, err) == (0, "")
        assert out


@pytest.mark.parametrize(
    ("absent", "wanted"),
    [
        (
            "torch",
            {
                "train --help": "train",
                "train --data mnist": "train",
                "report RUN": "train",
                "project mnist x.png --output y.png": "gpu",
                "generate mnist --seeds 7 --output x.png --precision bf16": "gpu",
                "generate mnist --seeds 7 --output x.png --device cuda": "gpu",
            },
        ),
        ("pooch", {"train --preset dcgan-mnist": "train", "data svhn": "train"}),
        ("huggingface_hub", {"push mnist someone/else": "hub"}),
        ("av", {"interpolate mnist --seeds 1,2 --frames 2 --output x.mp4": "video"}),
        ("pydantic", {"new-key": "", "generate mnist --seeds 7 --output x.png": ""}),
    ],
)
def test_what_is_missing_is_named_with_the_command_that_installs_it(
    absent: str, wanted: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last is a checkout that nobody has installed."""
    monkeypatch.chdir(tmp_path)
    for (status, _, err), extra in zip(without([absent], *wanted), wanted.values(), strict=True):
        assert status == 2
        (said,) = err.splitlines()
        assert said.startswith("error: ")
        assert said.endswith(install(extra))
    assert list(tmp_path.iterdir()) == []


def test_service_names_the_extra_that_a_setting_needs(
    generator_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.samplers.sampler.has_torch", lambda: False)
    monkeypatch.setattr("app.engine.projector.has_torch", lambda: False)
    file, line = read_generator_file(generator_folder), re.escape(install("gpu"))
    with pytest.raises(DeviceError, match=line):
        load_sampler(file, "cuda")
    with pytest.raises(DeviceError, match=line):
        load_sampler(file, "cpu", "bf16")
    with pytest.raises(ProjectionError, match=line):
        projector()


def test_service_without_pytorch_goes_to_the_cpu_where_there_is_a_gpu_and_says_so(
    generator_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("model.samplers.sampler.may_have_cuda", lambda: True)
    monkeypatch.setattr("model.samplers.sampler.has_torch", lambda: False)
    assert "ONNX" in str(load_sampler(read_generator_file(generator_folder)))
    assert install("gpu") in caplog.text


def test_install_line_suits_where_this_copy_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    monkeypatch.setattr("sys.executable", "/a b/python")
    assert install("train") == f"'/a b/python' -m pip install -e '{ROOT}[train]'"
    monkeypatch.setattr("sys.prefix", str(ROOT / ".venv"))
    assert install("train") == install("gpu") == f"make -C {ROOT} training"
    assert install("hub") == f"'/a b/python' -m pip install -e '{ROOT}[hub]'"
    assert install() == f"make -C {ROOT} serve"
    monkeypatch.setattr(mistakes, "ROOT", tmp_path)  # without a pyproject.toml: not a checkout
    assert install("train").startswith("'/a b/python' -m pip install 'ganserve[train] @ file://")
    monkeypatch.setattr(mistakes, "_origin", str)  # from an index
    assert install("train") == "'/a b/python' -m pip install 'ganserve[train]'"
    assert install() == "'/a b/python' -m pip install ganserve"
    assert set(mistakes.EXTRAS.values()) <= PROJECT["optional-dependencies"].keys()


@pytest.mark.parametrize("line", ["new-key", "--help", "generate --help"])
def test_reader_that_has_gone_makes_no_traceback(line: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "ganserve", *line.split()]
    with os.fdopen(writer) as pipe:
        done = subprocess.run(
            command, cwd=ROOT, stdout=pipe, stderr=subprocess.PIPE, check=False, timeout=TIMEOUT
        )
    assert done.stderr == b""


def test_licence_is_apache_and_what_ships_is_attributed() -> None:
    assert PROJECT["license"] == "Apache-2.0"
    for name in PROJECT["license-files"]:
        assert (ROOT / name).is_file()
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    notice = " ".join((ROOT / "NOTICE").read_text().split())
    for folder in (*ZOO.iterdir(), *SHIPPED_CLASSIFIERS.iterdir()):
        assert str(folder.relative_to(ROOT)) in notice
    for config in ZOO.glob("*/config.json"):
        licence = json.loads(config.read_text())["licence"]
        names = re.findall(r"by [A-Z]\w+ [A-Z]\w+|\(c\) \d+ \w+|https?://[\w./-]*\w", licence)
        assert [name for name in names if name not in notice] == []


def pins(name: str) -> set[str]:
    lines = (ROOT / name).read_text().splitlines()
    return {line.rstrip(" \\") for line in lines if re.match(r"\w", line)}


def test_locks_hold_every_package_by_its_hash_and_agree() -> None:
    everything, serve = pins("locks/all.txt"), pins("locks/serve.txt")
    assert everything == pins("constraints.txt")
    assert serve <= everything
    assert all(re.match(r"[\w.-]+==[\w.+]+( ; .*)?$", pin) for pin in everything)
    for name in ("locks/all.txt", "locks/serve.txt"):
        for block in re.split(r"^(?=\w)", (ROOT / name).read_text(), flags=re.M)[1:]:
            assert "--hash=sha256:" in block
    wanted = {re.split(r"[<>=;\[]", text)[0] for text in PROJECT["dependencies"]}
    assert wanted <= {pin.partition("==")[0] for pin in serve}
    assert not any(pin.startswith(("torch==", "nvidia-")) for pin in serve)


# --- the wheel, in an environment where `app` and `model` are other people's packages ---

THEIRS = "NAME = {!r}\n"
SEED = "/generate?seed=7"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def place(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Makes an environment with the wheel and with other packages of those names; so are modules in
    the current folder.
    """
    folder = tmp_path_factory.mktemp("place")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True)
    (packages,) = (folder / "env").glob("lib/python*/site-packages")
    python = str(folder / "env" / "bin" / "python")
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
    subprocess.run([*install, "--no-deps", "--no-index", str(wheel)], check=True)
    # what it depends on, as it is here; the .pth of an editable install there does nothing
    shared = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "shared.pth").write_text("\n".join(shared))
    work = folder / "work"
    work.mkdir()
    for name in ("app", "model"):
        (packages / name).mkdir()
        (packages / name / "__init__.py").write_text(THEIRS.format(f"their {name}"))
        (work / f"{name}.py").write_text(THEIRS.format(f"{name} of this folder"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        patch.delenv("PYTHONPATH", raising=False)
        yield folder


def run(place: Path, *command: str | Path) -> str:
    done = subprocess.run(
        [place / "env" / "bin" / command[0], *command[1:]],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@needs_hatchling
@pytest.mark.slow
def test_wheel_has_one_package_and_all_that_the_service_shows(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        about = archive.read(metadata).decode()
    assert len(names) == len(set(names))
    assert {name.split("/")[0] for name in names} == {"ganserve", metadata.split("/")[0]}
    for file in (*ZOO.rglob("*.*"), *SHIPPED_CLASSIFIERS.rglob("*.*"), *ROOT.glob("app/page/*")):
        assert f"ganserve/{file.relative_to(ROOT)}" in names
    assert any(name.endswith("licenses/NOTICE") for name in names)
    assert "License-Expression: Apache-2.0" in about


@needs_hatchling
@pytest.mark.slow
def test_every_module_of_the_wheel_imports_beside_others_of_these_names(place: Path) -> None:
    code = """
import importlib, pkgutil, sys
import ganserve
for module in pkgutil.walk_packages(ganserve.__path__, "ganserve."):
    importlib.import_module(module.name)
assert not {"app", "model"} & set(sys.modules)
import app, model
print(app.NAME, model.NAME, sep=", ")
"""
    assert run(place, "python", "-P", "-c", code) == "their app, their model"
    assert run(place, "python", "-c", code) == "app of this folder, model of this folder"


@needs_hatchling
@pytest.mark.slow
def test_wheel_draws_what_the_repository_draws(place: Path) -> None:
    with TestClient(create_app(Settings(device="cpu"))) as client:
        picture, script = (client.get(path).content for path in (SEED, "/page/main.js"))
    assert run(place, "ganserve", "--version") == f"ganserve {__version__}"
    run(place, "ganserve", "generate", DEFAULT, "--seeds", "7", "--output", place / "drawn")
    assert (place / "drawn" / "seed000007.png").read_bytes() == picture
    run(place, "python", "-m", "ganserve", "onnx", "mnist", "--output", place / "mnist.onnx")
    command = (str(place / "env" / "bin" / "ganserve"), "serve")
    with service(DEFAULT, command, GAN_WORKERS="2") as (process, address):
        wait_until(lambda: len(worker_ids(process.pid)) == 2)
        assert fetch(address + SEED) == picture
        assert b"<title>" in fetch(f"{address}/")
        assert fetch(f"{address}/page/main.js") == script


@needs_hatchling
@pytest.mark.slow
def test_wheel_reloads_and_tells_its_health(place: Path) -> None:
    folder = write_tiny_generator(place / "tiny")
    command = (str(place / "env" / "bin" / "ganserve"),)

    def served() -> str:
        return str(json.loads(fetch(f"{address}/models"))["default"])

    with service(folder, command) as (process, address):
        before = served()
        port = address.rpartition(":")[2]
        health = [*command, "health"]
        assert subprocess.run(health, env={**os.environ, "PORT": port}, check=False).returncode == 0
        write_tiny_generator(folder, DCGANConfig(z_dim=8, channels=1, width=32))
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: served() != before)
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT) == 0
    assert subprocess.run(health, env={**os.environ, "PORT": port}, check=False).returncode == 1
