"""The generator as a Python object: what it draws, what it saves, what it uploads."""

import inspect
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from model import hub
from model.generator_file import FILES, GeneratorFileError, read_generator_file
from model.generators import ZOO, generator_folder
from model.images import to_pixels
from model.mistakes import install
from model.pretrained import PretrainedGenerator
from model.recipes import RecipeError
from model.samplers.sampler import load_sampler
from model.training.__main__ import main
from model.training.run.card import model_card
from tests.conftest import CLASSES

needs_hub = pytest.mark.skipif(not hub.HAS_HUB, reason="needs the extra 'hub'")


@pytest.fixture(scope="module")
def tiny(folder: Path) -> PretrainedGenerator:
    return PretrainedGenerator.from_pretrained(folder / "tiny", device="cpu")


@pytest.fixture(scope="module")
def pets(folder: Path) -> PretrainedGenerator:
    return PretrainedGenerator.from_pretrained(str(folder / "pets"), device="cpu")


def test_it_knows_its_own_shape(tiny: PretrainedGenerator, pets: PretrainedGenerator) -> None:
    assert (tiny.z_dim, tiny.classes, tiny.side, tiny.channels) == (8, (), 28, 1)
    assert (pets.z_dim, pets.classes, pets.side, pets.channels) == (8, CLASSES, 32, 3)
    assert repr(tiny).startswith("PretrainedGenerator(tiny@")


def test_generator_of_the_zoo_is_named_by_its_name() -> None:
    assert generator_folder("mnist") == ZOO / "mnist"
    for path in (".", "..", "mnist/..", "/", "tiny"):
        assert generator_folder(path) == Path(path)
    assert PretrainedGenerator.from_pretrained("mnist", device="cpu").config.name == "mnist"


def test_generate_draws_what_is_served(
    tiny: PretrainedGenerator, pets: PretrainedGenerator
) -> None:
    for generator in (tiny, pets):
        wanted = load_sampler(generator.file, "cpu")(generator.config.rows(range(70)))
        assert np.array_equal(generator.generate(range(70)), wanted)
    wanted = load_sampler(pets.file, "cpu")(pets.config.rows([5, 3], 2))
    for class_ in ("red panda", "2", 2):
        assert np.array_equal(pets.generate([5, 3], class_), wanted)
    assert not np.array_equal(pets.generate([5, 3], 2, truncation=0.5), wanted)
    assert tiny.generate([]).shape == (0, 28, 28, 1)


def test_floats_are_the_same_pictures_before_they_are_rounded(
    tiny: PretrainedGenerator, pets: PretrainedGenerator
) -> None:
    for generator in (tiny, pets):
        rows = generator.rows(range(6))
        images = generator(torch.from_numpy(rows))
        difference = generator.generate(range(6)).astype(int) - to_pixels(images.numpy())
        assert np.abs(difference).max() <= 1
    z = torch.from_numpy(pets.rows([4], "dog")[:, :8])
    assert torch.equal(pets(z, "dog"), pets(torch.from_numpy(pets.rows([4], 1))))


def test_gradients_reach_the_latent_and_no_weight(pets: PretrainedGenerator) -> None:
    z = torch.zeros(2, 8, requires_grad=True)
    pets(z, 0).sum().backward()
    assert z.grad is not None
    assert z.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in pets.network.parameters())


def test_what_is_not_there_is_refused(tiny: PretrainedGenerator, pets: PretrainedGenerator) -> None:
    z = torch.zeros(1, 8)
    with pytest.raises(RecipeError, match="tiny has no classes"):
        tiny(z, 0)
    with pytest.raises(RecipeError, match="say which"):
        pets(z)
    with pytest.raises(RecipeError, match="by number 0 to 2"):
        pets(z, "bird")
    with pytest.raises(RecipeError, match="by number 0 to 2"):
        pets.generate([1], -1)
    with pytest.raises(RecipeError, match=r"\(N, 8\) is wanted"):
        pets(torch.zeros(1, 9), 0)
    with pytest.raises(ValueError, match="seed is -1"):
        tiny.generate([-1])


def test_folder_has_no_revision(folder: Path) -> None:
    with pytest.raises(GeneratorFileError, match="a folder has no revision v1"):
        PretrainedGenerator.from_pretrained(folder / "tiny", revision="v1")


def test_saved_generator_is_the_same_file_and_leaves_nothing_of_another(
    folder: Path, tiny: PretrainedGenerator, tmp_path: Path
) -> None:
    target = tmp_path / "new" / "copy"
    target.mkdir(parents=True)
    (target / "model.onnx").write_bytes(b"of another")
    (target / "notes.txt").write_bytes(b"not ours")
    tiny.save_pretrained(target)
    names = {path.name for path in target.iterdir()}
    assert names == {"config.json", "model.safetensors", "README.md", "notes.txt"}
    for name in names & set(FILES):
        assert (target / name).read_bytes() == (folder / "tiny" / name).read_bytes()
    again = PretrainedGenerator.from_pretrained(target, device="cpu")
    assert np.array_equal(again.generate([7]), tiny.generate([7]))
    tiny.save_pretrained(folder / "tiny")  # onto itself
    assert read_generator_file(folder / "tiny").config == tiny.config


class FakeApi:
    """What is asked of the Hub's library for an upload, written down."""

    asked: list[tuple[str, Any]]
    refusal: Exception | None = None

    def __init__(self, token: str | None = None) -> None:
        type(self).asked.append(("token", token))

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.asked.append(("create", (repo_id, private, exist_ok)))

    def upload_folder(
        self, *, repo_id: str, folder_path: Path, allow_patterns: list[str], commit_message: str
    ) -> SimpleNamespace:
        found = {path.name for path in folder_path.iterdir() if path.name in allow_patterns}
        self.asked.append(("upload", (repo_id, found, commit_message)))
        return SimpleNamespace(commit_url=f"https://hub.example/{repo_id}/commit/1")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeApi]:
    library = pytest.importorskip("huggingface_hub")
    for name in ("create_repo", "upload_folder"):  # the real one takes these names too
        real = inspect.signature(getattr(library.HfApi, name)).parameters
        assert set(inspect.signature(getattr(FakeApi, name)).parameters) <= set(real)
    monkeypatch.setattr(library, "HfApi", FakeApi)
    FakeApi.asked, FakeApi.refusal = [], None
    return FakeApi


def test_push_uploads_the_generator_file_and_nothing_else(
    fake: type[FakeApi], folder: Path, tmp_path: Path
) -> None:
    here = Path(shutil.copytree(folder / "pets", tmp_path / "pets"))
    more = ("samples.png", "model.onnx", "discriminator.safetensors", "history.json")
    for name in (*more, "history.webp", "diary.txt", ".env"):
        (here / name).touch()
    generator = PretrainedGenerator.from_pretrained(here, device="cpu")
    address = generator.push_to_hub("me/tiny", private=True, token="t", commit_message="First")
    assert address == "https://hub.example/me/tiny/commit/1"
    assert fake.asked == [
        ("token", "t"),
        ("create", ("me/tiny", True, True)),
        ("upload", ("me/tiny", set(FILES), "First")),
    ]


def test_push_command_prints_the_address(
    fake: type[FakeApi], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["push", str(folder / "pets"), "me/my-pets"]) == 0
    assert capsys.readouterr().out == "https://hub.example/me/my-pets/commit/1\n"
    config = read_generator_file(folder / "pets").config
    assert fake.asked[0] == ("token", None)  # the library then finds the user's own
    assert fake.asked[1] == ("create", ("me/my-pets", False, True))
    assert fake.asked[2][1][2] == f"Upload {config.id}"


@needs_hub
def test_push_that_is_refused_is_one_line(
    fake: type[FakeApi], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    errors = sys.modules["huggingface_hub"].errors
    tiny = str(folder / "tiny")
    for refusal in (errors.LocalTokenNotFoundError("no token"), OSError("no network")):
        fake.refusal = refusal
        assert main(["push", tiny, "me/tiny"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"cannot be uploaded ({type(refusal).__name__})" in line
        assert "HF_TOKEN" in line
    for name in ("me", "me/a/b", "me/..", ""):
        assert main(["push", tiny, name]) == 2
        assert "owner/name is wanted" in capsys.readouterr().err
    assert main(["push", "/no/where", "me/tiny"]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_damaged_generator_is_not_uploaded(
    fake: type[FakeApi], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = Path(shutil.copytree(folder / "tiny", tmp_path / "tiny"))
    with (here / "model.safetensors").open("ab") as stream:
        stream.write(b"x")
    assert main(["push", str(here), "me/tiny"]) == 2
    assert "damaged" in capsys.readouterr().err
    assert fake.asked == []


def test_without_the_extra_the_error_says_how_to_get_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hub, "HAS_HUB", False)
    assert main(["push", str(folder / "tiny"), "me/tiny"]) == 2
    assert install("hub") in capsys.readouterr().err
    with pytest.raises(GeneratorFileError, match=r"extra .hub."):
        PretrainedGenerator.from_pretrained("me/tiny")


@pytest.mark.parametrize(
    ("licence", "license"),
    [
        ("Not stated.", None),
        ("CC BY 4.0", "cc-by-4.0"),
        ("cc0-1.0", "cc0-1.0"),
        ("mit: or: something", None),
    ],
)
def test_card_begins_with_what_the_hub_reads(
    folder: Path, licence: str, license: str | None
) -> None:
    library = pytest.importorskip("huggingface_hub")
    config = read_generator_file(folder / "pets").config.model_copy(update={"licence": licence})
    card = model_card(config, "the command", "Its cost.", "Some samples.")
    told = library.ModelCard(card).data
    assert told.license == license
    assert told.library_name == "ganserve"
    assert told.pipeline_tag == "unconditional-image-generation"
    assert told.tags == ["gan", "residual", "image-generation", "class-conditional"]
    assert "of 3 classes: cat, dog, red panda" in card


def test_card_shows_how_to_use_the_generator(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = read_generator_file(folder / "tiny").config
    (code,) = re.findall("```python\n(.*?)```", model_card(config, "", "", ""), re.DOTALL)
    monkeypatch.chdir(folder / "tiny")
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["pixels"].shape == (16, 28, 28, 1)
