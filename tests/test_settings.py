"""Settings and the command line: everything is said once, shown by --help, and checked at start."""

import os

import pytest

from app.__main__ import HELP_WIDTH, main
from app.main import create_app
from app.settings import Settings, SettingsError, described, read_settings, variables


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("GAN_"):
            monkeypatch.delenv(name)


def output_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, list[str]]:
    """Exit status, stdout, and the lines of stderr."""
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


@pytest.mark.parametrize("argument", ["--port=80", "serve", "--he"])
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
