"""The public feature network, of which neither the code nor the weights are ours."""

import hashlib
import importlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from model.training.evaluation import inception
from model.training.evaluation.features import ExtractorError
from model.training.evaluation.inception import load_inception

CPU = torch.device("cpu")


class Pooling(torch.nn.Module):
    """Stands in for torch-fidelity's network: uint8 (N, 3, H, W) in, a tuple of features out."""

    def __init__(self, name: str, layers: list[str], feature_extractor_weights_path: str) -> None:
        super().__init__()
        assert Path(feature_extractor_weights_path).is_file()
        assert layers == ["2048"]

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        assert images.dtype == torch.uint8
        assert images.shape[1] == 3
        return (images.float().mean(dim=(2, 3)).repeat(1, 683)[:, :2048],)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Returns a stand-in for torch-fidelity, and the place of the weights."""
    package, module = ModuleType("torch_fidelity"), ModuleType(inception.MODULE)
    module.FeatureExtractorInceptionV3 = Pooling  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch_fidelity", package)
    monkeypatch.setitem(sys.modules, inception.MODULE, module)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(inception, "WEIGHTS_SHA256", hashlib.sha256(b"weights").hexdigest())
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints" / inception.WEIGHTS


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_any_kind_have_2048_features(installed: Path, channels: int) -> None:
    installed.write_bytes(b"weights")
    network = load_inception(CPU)
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (130, 16, 16, channels)).astype(np.uint8)
    features, probabilities = network(pixels)
    assert features.shape == (130, 2048)
    assert probabilities.shape == (130, 0)
    assert np.allclose(features[:, 0], pixels[..., 0].mean(axis=(1, 2)), atol=1e-3)


def test_name_pins_the_weights() -> None:
    assert inception.Inception.name == "inception-6726825d"
    assert inception.WEIGHTS_SHA256[:8] in inception.WEIGHTS


def test_missing_weights_are_named_with_their_address(installed: Path) -> None:
    with pytest.raises(ExtractorError, match=r"weights are missing; they are at https://github"):
        load_inception(CPU)


def test_other_weights_are_refused_before_anyone_unpacks_them(installed: Path) -> None:
    installed.write_bytes(b"other weights")
    with pytest.raises(ExtractorError, match="SHA-256 is another"):
        load_inception(CPU)


@pytest.mark.parametrize("error", [ImportError("no module"), RuntimeError("operator torchvision")])
def test_missing_library_is_one_clear_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str) -> ModuleType:
        raise error

    monkeypatch.setattr(inception, "importlib", SimpleNamespace(import_module=fail))
    with pytest.raises(ExtractorError, match=r"pip install .*\[fidelity\]"):
        load_inception(CPU)


def test_torch_fidelity_has_the_network_where_we_look_for_it() -> None:
    try:
        module = importlib.import_module(inception.MODULE)
    except (ImportError, RuntimeError):
        pytest.skip("torch-fidelity is not installed")
    assert inception.WEIGHTS_URL == module.URL_INCEPTION_V3
    assert inception.LAYER in module.FeatureExtractorInceptionV3.get_provided_features_list()
