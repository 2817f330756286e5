"""Every command that documents, cards, messages and the page print works as it stands."""

import ast
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.training.__main__ import COMMANDS, main, parser
from model.training.datasets.downloads import OFFICIAL
from model.training.evaluation.feature_networks import KINDS
from model.training.presets import PRESETS
from tests.conftest import write_untrained_upscaler

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CARDS = [*sorted((ROOT / "model" / "zoo").glob("*/*.md"))]
CODE = sorted((ROOT / "model").rglob("*.py"))
COMMAND = re.compile(
    rf"(?:-m model\.training|\bganserve) ((?:{'|'.join(COMMANDS)})\b[^`#\n\"]*)"
    r"|\bmake train((?: PRESET=[\w-]+)?)[\s`]"
)
INLINE = re.compile(r"(?<!`)`(?!`)[^`]+`(?!`)")
OTHERS = {  # options of other programs that messages name
    *("--install", "--n", "--nproc-per-node", "--private"),
}


def commands(text: str) -> list[str]:
    """Returns the arguments of each training command in a text."""
    found = []
    text = INLINE.sub(lambda code: code[0].replace("\n", " "), text.replace("\\\n", " "))
    for plain, made in COMMAND.findall(text):
        preset = made.strip().removeprefix("PRESET=") or "dcgan-mnist"
        found.append(plain.strip() or f"train --preset {preset}")
    return [line for line in found if "{" not in line and "..." not in line]


def printed() -> list[str]:
    found = [line for path in (*DOCUMENTS, *CARDS) for line in commands(path.read_text())]
    for path in CODE:
        for text in constants(path):
            found += commands(f"{text}\n")
    return sorted(set(found))


def constants(path: Path) -> list[str]:
    """Returns the texts of a module, but for its docstrings."""
    tree = ast.parse(path.read_text())
    dumb = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):  # with a path of people's in place of each value
            dumb |= {id(part) for part in node.values}
            parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
            found.append("".join(map(str, parts)).replace("--data {}", "--data my-pictures"))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found += [] if id(node) in dumb else [node.value]
    return found


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns what stands for people's own pictures."""
    folder, random = tmp_path_factory.mktemp("my") / "pictures", np.random.default_rng(0)
    for index in range(300):
        place = folder / ("cats" if index % 2 else "dogs")
        place.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 255, (64, 64, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(place / f"{index}.png")
    write_untrained_upscaler(folder.parent)
    return folder


def dry_run(line: str, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = shlex.split(line)
    network = str(ROOT / "model" / "training" / "classifiers" / "avatars")
    stand_ins = {"--data": str(pictures), "--from": "avatars", "--features": network}
    if "upscale-4x-gan" in arguments:
        stand_ins["--from"] = str(pictures.parent)
    known = {*OFFICIAL, "avatars", *KINDS}
    for option, place in stand_ins.items():
        if option in arguments and arguments[arguments.index(option) + 1] not in known:
            arguments[arguments.index(option) + 1] = place
    assert parser(chosen=arguments[0]).parse_args(arguments).command
    if arguments[0] == "train":
        assert main([*arguments, "--dry-run", "--device", "cpu"]) == 0, capsys.readouterr().err


def test_commands_are_found() -> None:
    assert {"train --preset dcgan-mnist", "train --preset dcgan-svhn"} <= set(printed())
    assert any(line.startswith("export runs/") for line in printed())
    assert commands("say `python -m model.training report RUN`, or make train\n") == [
        "report RUN",
        "train --preset dcgan-mnist",
    ]


@pytest.mark.parametrize("line", printed())
def test_printed_command_works(
    line: str,
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(ROOT)
    dry_run(line, pictures, capsys)


def test_card_of_a_run_shows_a_command_that_works(
    pictures: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ["train", "--data", str(pictures), "--hours", "1", "--dry-run", "--device", "cpu"]
    assert main(typed) == 0
    (line,) = commands(json.loads(capsys.readouterr().out)["command"] + "\n")
    dry_run(line, pictures, capsys)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_page_shows_commands_that_work(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cards = [
        (name.removesuffix("-v1"), preset.config.network.family, preset.config.data or "mnist")
        for name, preset in PRESETS.items()
        if preset.config.network.resolution == 32
    ]
    code = f"""
        globalThis.matchMedia = () => ({{ matches: false, addEventListener() {{}} }})
        const {{ trainAgain }} = await import("{(ROOT / "app/page/models.js").as_uri()}")
        for (const card of {json.dumps(cards)}) console.log(trainAgain(...card))
        console.log(trainAgain("modern-64", "modulated", "my-pictures"))
    """
    command = ["node", "--input-type=module", "-e", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *_, unknown = done.stdout.split("\n")[:-1]
    assert unknown == ""  # there is no such command for pictures that nobody else has
    assert len(commands(done.stdout)) == len(cards)
    for line in commands(done.stdout):
        dry_run(line, pictures, capsys)


def test_options_that_messages_name_exist() -> None:
    known = {"--help"}
    for name in COMMANDS:
        (action,) = parser(chosen=name)._subparsers._group_actions
        known |= set(dict(action.choices or ())[name]._option_string_actions)
    named = {
        (path.name, option)
        for path in CODE
        for text in constants(path)
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", text)
    }
    assert {(path, option) for path, option in named if option not in known | OTHERS} == set()
