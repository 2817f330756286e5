"""The structure of the code: who may import whom, and that importing does no work."""

import ast
import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.conftest import LONGEST

ROOT = Path(__file__).parent.parent


def modules(package: str) -> list[str]:
    files = sorted((ROOT / package).rglob("*.py"))
    names = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files]
    return [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_service_never_imports_training() -> None:
    names = [*modules("app"), "app.__main__"]
    code = f"import sys, {', '.join(names)}; print([m for m in sys.modules if 'training' in m])"
    assert run(code) == "[]"


def test_service_never_imports_what_only_training_needs() -> None:
    only = "{'scipy', 'pooch', 'tensorboard', 'matplotlib'}"
    code = f"import sys, app.main; print({only} & set(sys.modules))"
    assert run(code) == "set()"


def test_model_never_imports_the_service() -> None:
    names = modules("model")
    assert "model.training.loop" in names
    code = (
        f"import sys, {', '.join(names)}; "
        "print([m for m in sys.modules if m.partition('.')[0] in ('app', 'ganserve')])"
    )
    assert run(code) == "[]"


def test_what_serving_shares_needs_no_torch() -> None:
    shared = (
        "model.latent_space.latents, model.images, model.generator_file, model.networks.registry, "
        "model.metrics, model.encoding.animations, model.generators, app.engine.batcher, "
        "app.parameters.schemas, model.upscaling.runtimes, model.classification.onnx_classifier"
    )
    code = f"import sys, {shared}; print('torch' in sys.modules)"
    assert run(code) == "False"


def test_importing_reads_no_environment_and_no_weights() -> None:
    code = (
        "import os; os.environ.update(GAN_PORT='nonsense', GAN_GENERATOR='/no/where');"
        f"import {', '.join([*modules('app'), *modules('model')])}; print('fine')"
    )
    assert run(code) == "fine"


@pytest.mark.parametrize(
    ("module", "reports"),
    [
        pytest.param("model.samplers.sampler", False, id="ours"),
        pytest.param("onnxruntime", True, id="plain, to show that the test can fail"),
    ],
)
def test_drawing_leaves_no_reports_to_anyone(tmp_path: Path, module: str, reports: bool) -> None:
    """ONNX Runtime keeps what it means to send in the home folder; ours must leave none."""
    if reports and tuple(map(int, version("onnxruntime").split(".")[:2])) < (1, 30):
        pytest.skip("ONNX Runtime below 1.30 keeps no reports")
    silencers = ("CI", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS")
    plain = {name: value for name, value in os.environ.items() if name not in silencers}
    homes = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", f"import {module}"], env=plain | homes, check=True)
    assert bool([path for path in tmp_path.rglob("*") if path.is_file()]) is reports


@pytest.mark.parametrize("package", ["app", "model"])
def test_nothing_can_unpickle(package: str) -> None:
    for file in (ROOT / package).rglob("*.py"):
        text = file.read_text()
        assert "pickle" not in text.replace("never pickle", "")
        assert "torch.load(" not in text
        assert "allow_pickle=True" not in text


def test_serving_unpickles_nothing(generator_folder: Path) -> None:
    """Held by the interpreter itself, through start, pictures and end."""
    code = """
import sys
from fastapi.testclient import TestClient
from app.main import create_app
from app.settings import Settings

def watch(event, arguments):
    if event == "pickle.find_class":
        seen.append(arguments)

seen = []
sys.addaudithook(watch)
with TestClient(create_app(Settings(generator=sys.argv[1], device="cpu"))) as client:
    for path in ("/generate?seed=1", "/interpolate?seeds=1,2", "/latents/1.json", "/metrics"):
        assert client.get(path).status_code == 200
assert seen == []
import pickle
pickle.loads(pickle.dumps(print))
print(len(seen), "seen where there is something to see")
"""
    command = [sys.executable, "-c", code, str(generator_folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "1 seen where there is something to see\n"


@pytest.mark.parametrize("package", ["app", "model"])
def test_folders_show_few_files(package: str) -> None:
    for init in (ROOT / package).rglob("__init__.py"):
        assert len(list(init.parent.glob("*.py"))) <= 15, init.parent


def imported(file: Path) -> set[str]:
    """Returns the modules that a file names in its imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, file
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("package", ["app", "model", "benchmarks", "tests"])
def test_nobody_imports_from_a_test(package: str) -> None:
    """What two files of tests need stands in a module beside them, such as services.py."""
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for file in files:
        assert [name for name in imported(file) if name.startswith("tests.test_")] == [], file


def test_files_of_tests_that_are_begun_first_are_there() -> None:
    assert [name for name in LONGEST if not Path(__file__).with_name(f"{name}.py").is_file()] == []


def test_import_of_a_test_would_be_seen(tmp_path: Path) -> None:
    code = tmp_path / "code.py"
    for line in ("from tests.test_a import b", "from tests import test_a", "import tests.test_a"):
        code.write_text(f"def f():\n    {line}\n")
        assert [name for name in imported(code) if name.startswith("tests.test_")]


@pytest.mark.parametrize("module", ["app", "model.training"])
def test_system_that_this_does_not_run_on_is_told_in_one_line(module: str) -> None:
    """Windows has neither fcntl nor these signals."""
    code = f"""
import importlib, signal, sys
sys.modules["fcntl"] = None
del signal.pthread_sigmask, signal.SIGHUP
found = importlib.import_module("{module}.__main__")
sys.platform = "win32"
found.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode in (2, 3)
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ganserve runs on Linux and macOS; on Windows")


def test_people_run_the_quick_tests_and_ci_all_but_the_longest() -> None:
    makefile = (ROOT / "Makefile").read_text()
    recipes = dict(re.findall(r"^(test[\w-]*):.*\n\t(.*)$", makefile, re.MULTILINE))
    assert recipes == {"test": "$(PYTEST) $(PART)", "test-slow": '$(PYTEST) -m "slow or long"'}
    assert re.findall(r"^PART \?= (.*)$", makefile, re.MULTILINE) == ['-m "not slow and not long"']
    (runs,) = re.findall(r"^PYTEST := (.*)$", makefile, re.MULTILINE)
    assert not re.search(r" (-k|--deselect|--ignore\S*) ", runs)  # and nothing is left out
    assert runs.count(" -m ") == 1  # python -m pytest
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("make test")]
    assert shlex.split(line, comments=True) == [*("make", "test", 'PART=-m "not long"', "JOBS=4")]
    assert "set -euo pipefail" in lines
