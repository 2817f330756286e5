"""Words of the code: docstrings say what a function does, comments what stands there."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted(
    file for part in ("app", "ganserve", "model") for file in (ROOT / part).rglob("*.py")
)
VERB = re.compile(r"[A-Z][a-z]+s")
NO_VERBS = {
    *("Always", "As", "Bounds", "Bytes", "Classes", "Does", "Features", "Has", "Headers", "Hours"),
    *("Images", "Is", "Its", "Latents", "Names", "Others", "Parameters", "Pictures", "Pixels"),
    *("Rows", "Seconds", "Seeds", "Steps", "Stops", "Tensors", "This", "Vectors", "Was", "Ways"),
    *("Weights", "Years"),
}
IDLE_COMMENT = re.compile(r"#\s+of ")
# what the code does not say, and what it says instead
DIALECT = {
    "album": "image folder",
    "figures": "metrics",
    "former": "previous",
    "game": "objective",
    "games": "objectives",
    "journal": "run log",
    "player": "network",
    "players": "networks",
}
# names that operators, files and libraries know
KNOWN = {"former", "matplotlib.figure", "figure_images"}
WORD = re.compile(r"[A-Z]?[a-z]+")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def verbless(source: str) -> list[str]:
    """Finds the functions whose docstring does not open with a verb; properties are nouns."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, Function) or (text := ast.get_docstring(node)) is None:
            continue
        if any("property" in ast.unparse(decorator) for decorator in node.decorator_list):
            continue
        first = text.split()[0].rstrip(".,:")
        if not VERB.fullmatch(first) or first in NO_VERBS:
            found.append(f"{node.name}: {text.splitlines()[0]}")
    return found


def idle_comments(source: str) -> list[str]:
    """Finds comments that say of what, and not what."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = (token.string for token in tokens if token.type == tokenize.COMMENT)
    return [comment for comment in comments if IDLE_COMMENT.match(comment)]


def dialect(source: str) -> list[str]:
    """Finds names, docstrings and comments with words that the field does not use. Other texts may
    be keys of files.
    """
    found = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        documents = token.type == tokenize.STRING and token.string.startswith('"""')
        if token.type not in (tokenize.NAME, tokenize.COMMENT) and not documents:
            continue
        # what stands between backquotes is a name, such as a key's
        text = re.sub("`[^`]*`", "", token.string)
        if text not in KNOWN and any(word.lower() in DIALECT for word in WORD.findall(text)):
            found.append(f"{token.start[0]}: {text}")
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_docstrings_open_with_a_verb_and_comments_name_what_stands_there(file: Path) -> None:
    source = file.read_text()
    assert verbless(source) == []
    assert idle_comments(source) == []
    assert dialect(source) == []


@pytest.mark.parametrize(
    "file",
    sorted(file for part in ("benchmarks", "tests") for file in (ROOT / part).rglob("*.py")),
    ids=lambda file: str(file.relative_to(ROOT)),
)
def test_words_of_tests_and_benchmarks_are_as_plain(file: Path) -> None:
    """Names of tests are sentences already: what stands below one may say why."""
    source = file.read_text()
    assert [line for line in verbless(source) if not line.startswith("test_")] == []
    assert idle_comments(source) == []


@pytest.mark.parametrize("text", ["Of one request.", "A client has come.", "Pictures of seeds."])
def test_docstring_without_a_verb_is_found(text: str) -> None:
    assert verbless(f'def f():\n    """{text}"""') == [f"f: {text}"]
    assert verbless(f'@property\ndef f():\n    """{text}"""') == []
    assert verbless('def f():\n    """Draws pictures of seeds."""') == []


def test_comment_that_does_not_say_what_is_found() -> None:
    assert idle_comments('x = 1  # of both\ny = "# of no comment"  # pixels of both\n') == [
        "# of both"
    ]


@pytest.mark.parametrize("source", ["best_game = 1", "x = 1  # two games", '"""Two players."""'])
def test_word_that_the_field_does_not_use_is_found(source: str) -> None:
    assert dialect(source) != []


def test_key_of_a_file_may_be_any_word() -> None:
    assert dialect('x["game"] = settings.former  # its key is `game`') == []
