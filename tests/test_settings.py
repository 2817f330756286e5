"""Settings and the command line: everything is said once, shown by --help, and checked at start."""

import os
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.commands import HELP_WIDTH, main
from app.main import create_app
from app.settings import (
    Settings,
    SettingsError,
    described,
    known_variables,
    read_settings,
    variables,
)

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves no setting, and lets no server start where a test expects a mistake."""
    monkeypatch.setattr("app.commands.serve", lambda settings: 0)
    for name in os.environ:
        if name.upper().startswith("GAN_") or name in ("HOST", "PORT"):
            monkeypatch.delenv(name)


def output_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, list[str]]:
    """Returns the exit status, stdout, and the lines of stderr."""
    try:
        status = main(list(arguments))
    except SystemExit as end:
        status = int(end.code or 0)
    shown = capsys.readouterr()
    return status, shown.out, shown.err.splitlines()


@pytest.mark.parametrize("name", Settings.model_fields)
def test_help_shows_every_setting_with_its_default_and_meaning(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    status, text, _ = output_of(capsys, "--help")
    assert status == 0
    (row,) = [row for row in described() if row[0] == " or ".join(variables(name))]
    assert all(cell in text for cell in row[:3])
    assert row[3] in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= HELP_WIDTH


def table_rows(document: Path) -> list[list[str]]:
    """Returns the cells of every line of a table that begins with a setting, without backquotes."""
    lines = [line for line in document.read_text().splitlines() if re.match(r"\| `GAN_\w+`", line)]
    return [
        [cell.strip() for cell in line.strip("|").replace("`", "").split(" | ")] for line in lines
    ]


def test_document_of_the_settings_says_what_help_says() -> None:
    said = table_rows(ROOT / "docs" / "settings.md")
    assert sorted(said) == sorted([cell.replace("`", "") for cell in row] for row in described())


@pytest.mark.parametrize("document", ["README.md", "docs/api.md"])
def test_other_documents_say_the_same_defaults(document: str) -> None:
    defaults = {name: row[1] for row in described() for name in row[0].split(" or ")}
    rows = [row for row in table_rows(ROOT / document) if row[1] != "off"]
    assert len(rows) > 10
    for names, default, *_ in rows:
        given = re.split(r", (?=\d)", default)
        for name, value in zip(re.findall("GAN_[A-Z_]+", names), given, strict=True):
            assert value.replace(",", "") == defaults[name], name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_name_no_setting_that_there_is_not(document: Path) -> None:
    assert set(re.findall(r"\bGAN_[A-Z0-9_]+", document.read_text())) <= set(known_variables())


@pytest.mark.parametrize(
    ("variable", "default", "bounds"),
    [
        pytest.param("GAN_HOST or HOST", "127.0.0.1", "", id="two-names"),
        pytest.param("GAN_PRECISION", "fp32", "fp32, bf16", id="choice"),
        pytest.param("GAN_MAX_QUEUE", "1024", "1 to 1,000,000", id="whole-number"),
        pytest.param("GAN_MAX_WAIT", "10", "above 0, to 3,600", id="number"),
    ],
)
def test_bounds_are_read_from_the_definition(variable: str, default: str, bounds: str) -> None:
    assert (variable, default, bounds) in [row[:3] for row in described()]


@pytest.mark.parametrize("argument", ["--port=80", "sevre", "--he"])
def test_unknown_argument_ends_with_2_and_one_line(
    capsys: pytest.CaptureFixture[str], argument: str
) -> None:
    status, out, lines = output_of(capsys, argument)
    assert (status, out, len(lines)) == (2, "", 1)
    assert lines[0].startswith("error: ")


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        pytest.param("GAN_MAX_BATHC", "GAN_MAX_BATCH", id="swapped"),
        pytest.param("GAN_MAXQUEUE", "GAN_MAX_QUEUE", id="joined"),
        pytest.param("gan_prot", "GAN_PORT", id="small-letters"),
        pytest.param("GAN_CACHE", "GAN_CACHE_MIB", id="cut-short"),
    ],
)
def test_unknown_variable_is_refused_with_the_nearest_name(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    nearest: str,
) -> None:
    monkeypatch.setenv(variable, "1")
    status, _, (line,) = output_of(capsys)
    assert status == 3
    assert line.startswith(f"error: setting {variable}: ")
    assert line.endswith(f"nearest: {nearest}")
    with pytest.raises(SettingsError, match=variable):
        create_app()


def test_every_mistake_has_a_line_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable, value in {"GAN_PORT": "0", "GAN_DEVICE": "tpu", "GAN_THREAD": "1"}.items():
        monkeypatch.setenv(variable, value)
    status, _, lines = output_of(capsys)
    assert status == 3
    assert [line.split(": ")[1] for line in lines] == [
        "setting GAN_THREAD",
        "setting GAN_DEVICE",
        "setting GAN_PORT",
    ]


def test_addresses_that_kubernetes_adds_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GAN_WEB_SERVICE_HOST", "GAN_WEB_PORT", "GAN_WEB_PORT_80_TCP_ADDR"):
        monkeypatch.setenv(name, "tcp://10.0.0.1:80")
    assert read_settings() == Settings()


def test_addresses_of_a_service_with_our_name_excuse_no_other_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    of_kubernetes = {
        "GAN_SERVICE_HOST": "10.0.0.1",
        "GAN_SERVICE_PORT": "8000",
        "GAN_SERVICE_PORT_HTTP": "8000",
        "GAN_PORT": "tcp://10.0.0.1:8000",
        "GAN_PORT_8000_TCP": "tcp://10.0.0.1:8000",
        "GAN_PORT_8000_TCP_ADDR": "10.0.0.1",
    }
    for name, value in {**of_kubernetes, "GAN_WORKRES": "2"}.items():
        monkeypatch.setenv(name, value)
    status, _, lines = output_of(capsys)
    assert status == 3
    assert [line.split(": ")[1] for line in lines] == ["setting GAN_WORKRES", "setting GAN_PORT"]
    assert "tcp://10.0.0.1:8000" in lines[1]
    assert "a service named gan," in lines[1]
    monkeypatch.delenv("GAN_WORKRES")
    monkeypatch.setenv("GAN_PORT", "8000")  # as the message says
    assert read_settings().port == 8000


@pytest.mark.parametrize("name", Settings.model_fields)
@pytest.mark.parametrize("value", ["", " "], ids=["empty", "white"])
def test_empty_value_is_told_or_means_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    variable = variables(name)[-1]
    monkeypatch.setenv(variable, value)
    status, _, lines = output_of(capsys)
    if status == 0:
        assert getattr(read_settings(), name) in ("", " ", ())
    else:
        (line,) = lines
        assert line.startswith(f"error: setting {variable}: set, but empty; unset it")


def patterns(part: object) -> list[str]:
    """Returns every pattern that a schema tells by itself."""
    if isinstance(part, list):
        return [found for one in part for found in patterns(one)]
    if not isinstance(part, dict):
        return []
    own = [part["pattern"]] if isinstance(part.get("pattern"), str) else []
    return own + patterns(list(part.values()))


def test_no_mistake_is_told_as_a_pattern() -> None:
    """pydantic's message would be the pattern; ours are words."""
    assert patterns(Settings.model_json_schema()) == []


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("GAN_DEVICE", "mps", "mps, Apple's GPUs, is not supported"),
        ("GAN_DEVICE", "tpu", "auto, cpu, cuda, cuda:0 or several such as cuda:0,cuda:1 is wanted"),
        ("GAN_CORS_ORIGIN", "https://a.example/", "origins such as https://site.example"),
        ("GAN_CORS_ORIGIN", "*,https://a.example", "* alone, or origins such as"),
        ("GAN_FRAME_ORIGIN", "a.example", "origins such as https://site.example"),
        ("GAN_ROOT_PATH", "gan/", "a path such as /gan, with no slash at its end, is wanted"),
        ("GAN_ROOT_PATH", "//gan", "a path such as /gan"),
        ("GAN_ROOT_PATH", "/gan/../x", "a path such as /gan"),
        ("GAN_C2PA_TIMESTAMP_URL", "ftp://x", "a URL that begins with http:// or https:// is"),
        ("GAN_ROBOTS", "some", "'page', 'none' or 'all'"),
        ("PORT", "http", "valid integer"),
    ],
)
def test_mistake_is_told_in_words_by_the_variable_that_was_set(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
    words: str,
) -> None:
    monkeypatch.setenv(variable, value)
    status, _, (line,) = output_of(capsys)
    assert status == 3
    assert line.startswith(f"error: setting {variable}: ")
    assert words in line


# --- secrets ---

HASH = "ab" * 32


@pytest.mark.parametrize(
    "text", [HASH, f"{HASH},{HASH}", f"{HASH} , {HASH},", f"{HASH}\n{HASH}\n"], ids=repr
)
def test_secrets_come_from_a_file_as_from_a_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    (tmp_path / "hashes").write_text(text)
    monkeypatch.setenv("GAN_API_KEY_HASHES_FILE", str(tmp_path / "hashes"))
    from_file = read_settings()
    monkeypatch.delenv("GAN_API_KEY_HASHES_FILE")
    monkeypatch.setenv("GAN_API_KEY_HASHES", text)
    assert from_file == read_settings()
    assert set(from_file.api_key_hashes) == {HASH}
    assert HASH not in repr(from_file)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(None, "No such file", id="missing"),
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b"\xff\xfe", "not a text file", id="binary"),
        pytest.param(b"hunter2", "64 hex digits", id="no-hash"),
    ],
)
def test_file_that_holds_no_secrets_opens_no_host(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    content: bytes | None,
    reason: str,
) -> None:
    if content is not None:
        (tmp_path / "hashes").write_bytes(content)
    monkeypatch.setenv("GAN_API_KEY_HASHES_FILE", str(tmp_path / "hashes"))
    status, _, (line,) = output_of(capsys)
    assert status == 3
    assert reason in line
    assert "hunter2" not in line


@pytest.mark.parametrize("variable", ["GAN_API_KEY_HASHES", "GAN_URL_SECRETS"])
@pytest.mark.parametrize("value", ["", " ", ",", "hunter2", f"{HASH} hunter2"], ids=repr)
def test_wrong_secret_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    status, _, (line,) = output_of(capsys)
    assert status == 3
    assert line.startswith(f"error: setting {variable}: ")
    assert "hunter2" not in line
    with pytest.raises(ValidationError) as error:
        Settings()
    assert "hunter2" not in str(error.value)


def test_variable_and_file_together_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "hashes").write_text(HASH)
    monkeypatch.setenv("GAN_API_KEY_HASHES_FILE", str(tmp_path / "hashes"))
    monkeypatch.setenv("GAN_API_KEY_HASHES", HASH)
    status, _, (line,) = output_of(capsys)
    assert status == 3
    assert "GAN_API_KEY_HASHES is set too" in line
