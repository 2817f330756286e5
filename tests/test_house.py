"""The house: who may import whom, and that importing does no work."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
    code = f"import sys, {', '.join(names)}; print([m for m in sys.modules if m.startswith('app')])"
    assert run(code) == "[]"


def test_what_serving_shares_needs_no_torch() -> None:
    shared = (
        "model.latent_space.latents, model.images, model.generator_file, model.networks.registry, "
        "model.metrics, model.encoding.animations, model.generators, app.engine.batcher, "
        "app.parameters.schemas"
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
