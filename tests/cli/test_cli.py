import csv
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter
from typer.testing import CliRunner

from dinocell import __version__
from dinocell.cli import app, main
from dinocell.errors import UntrainedModelError
from dinocell.inference.pipeline import DINOCellPipeline
from dinocell.io.images import read_image, read_labels
from dinocell.io.saving import write_image
from dinocell.models.checkpoint import read_config, write_config
from dinocell.models.finding import CONFIG_FILE, find_checkpoint
from dinocell.models.network.dinocell import DINOCell
from dinocell.models.variants import VARIANTS
from tests.cases import disk

runner = CliRunner()

ROOT = Path(__file__).parents[2]


def run(*arguments):
    """Run the command line in this process."""
    return runner.invoke(app, [str(argument) for argument in arguments])


def disks(side=128, radius=12):
    labels = np.zeros((side, side), np.int32)
    for number, centre in enumerate([(30, 30), (40, 95), (95, 50)], start=1):
        labels[disk(labels.shape, centre, radius)] = number
    return (40 + 120 * (labels > 0)).astype(np.uint8)


@pytest.fixture
def image_file(tmp_path):
    path = tmp_path / "in" / "cells.png"
    path.parent.mkdir()
    write_image(path, disks())
    return path


def test_segment_writes_labels_overlay_and_table(image_file, tmp_path):
    out = tmp_path / "out"
    result = run("segment", image_file, "-o", out, "--format", "tif,csv", "--format", "overlay,distance")
    assert result.exit_code == 0, result.output
    assert "cells.png: 3 cells" in result.output
    assert "try --diameter" not in result.output
    labels = read_labels(out / "cells_labels.tif")
    assert tifffile.imread(out / "cells_labels.tif").dtype == np.uint16
    assert labels.max() == 3
    overlay = read_image(out / "cells_overlay.png").pixels
    assert overlay.shape == (128, 128, 3)
    assert (overlay[labels == 0] == overlay[labels == 0][:, :1]).all()  # the ground stays gray
    distance = read_image(out / "cells_distance.tif").pixels
    assert distance.dtype == np.float16
    with (out / "cells_cells.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["label"]) for row in rows] == [1, 2, 3]
    assert int(rows[0]["area"]) == (labels == 1).sum()
    assert float(rows[0]["mean_intensity"]) == pytest.approx(disks()[labels == 1].mean(), rel=1e-4)
    assert sorted(p.name for p in out.iterdir()) == [
        "cells.csv", "cells_cells.csv", "cells_distance.tif", "cells_labels.tif", "cells_overlay.png",
        "cells_provenance.json", "segment.jsonl", "summary.csv",
    ]  # fmt: skip


def test_channels_are_not_mistaken_for_a_colour(image_file, tmp_path):
    channels = image_file.parent / "channels.tif"
    pixels = np.stack([np.zeros_like(disks()), np.zeros_like(disks()), disks()])
    metadata = {"axes": "CYX", "Labels": ["GFP", "RFP", "DAPI"]}
    tifffile.imwrite(channels, pixels, imagej=True, metadata=metadata)
    result = run("segment", channels, "-o", tmp_path)
    assert result.exit_code == 1
    assert "3 channels (GFP, RFP, DAPI)" in result.output
    assert "--channel" in result.output
    assert "3 cells" in run("segment", channels, "-o", tmp_path, "--channel", "2").output


def test_the_rest_of_a_batch_is_done_when_some_files_are_bad(image_file, tmp_path):
    folder = image_file.parent
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (folder / "empty.tif").write_bytes(b"")
    write_image(folder / "one.png", np.array([[5]], np.uint8))
    tifffile.imwrite(folder / "stack.tif", np.zeros((4, 16, 16), np.uint8), photometric="minisblack")
    result = run("segment", folder, tmp_path / "nothing.png", "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "4 of 6 inputs failed" in result.output
    for name in ("broken.png", "empty.tif", "stack.tif", "nothing.png"):
        lines = [line for line in result.output.splitlines() if line.startswith("error:") and name in line]
        assert len(lines) == 1, result.output
    assert "--all-planes" in result.output
    endings = ("labels.tif", "overlay.png", "cells.csv", "provenance.json")
    of_all = {"segment.jsonl", "summary.csv", "cells.csv"}
    assert {p.name for p in (tmp_path / "out").iterdir()} == of_all | {
        f"{stem}_{what}" for stem in ("cells", "one") for what in endings
    }


def test_options_reach_the_result(image_file, tmp_path):
    result = run("segment", image_file, "-o", tmp_path, "--cells-max", "1", "--overwrite")
    assert "0 cells" in result.output
    assert result.exit_code == 0
    assert "0 cells" in run("segment", image_file, "-o", tmp_path, "--min-size", "9999", "--overwrite").output
    assert "scale" not in run("segment", image_file, "-o", tmp_path, "--diameter", "none").output
    assert ", scale 0.1" in run("segment", image_file, "-o", tmp_path, "--diameter", "500").output
    stack = image_file.parent / "stack.tif"
    tifffile.imwrite(stack, np.stack([np.zeros_like(disks()), disks()]), photometric="minisblack")
    assert "0 cells" in run("segment", stack, "-o", tmp_path, "--z", "0").output
    assert "3 cells" in run("segment", stack, "-o", tmp_path, "--z", "1").output
    rgb = image_file.parent / "rgb.png"
    write_image(rgb, np.dstack([np.zeros_like(disks()), disks(), np.zeros_like(disks())]))
    assert "0 cells" in run("segment", rgb, "-o", tmp_path, "--channel", "0").output
    assert "3 cells" in run("segment", rgb, "-o", tmp_path, "--channel", "1", "--overwrite").output


@pytest.mark.parametrize("diameter", ["auto", 10])
def test_a_batch_gives_the_labels_of_the_pipeline(diameter, tmp_path):
    image = read_image(Path(__file__).parents[2] / "samples" / "histology_1_img.png").pixels[:120, :170]
    write_image(tmp_path / "a.png", image)
    options = () if diameter == "auto" else ("--diameter", diameter)
    assert run("segment", tmp_path / "a.png", "-o", tmp_path, "--device", "cpu", *options).exit_code == 0
    expected = DINOCellPipeline("nano", device="cpu").run(image, diameter=diameter).labels
    assert expected.max() > 5
    np.testing.assert_array_equal(read_labels(tmp_path / "a_labels.tif"), expected)


@pytest.mark.slow
def test_results_of_another_precision_are_not_taken_for_the_same(image_file, tmp_path):
    command = ("segment", image_file, "-o", tmp_path, "--precision")
    assert "3 cells" in run(*command, "float32").output
    assert "skipped" in run(*command, "float32").output
    assert "skipped" not in run(*command, "bfloat16").output  # made again
    (record,) = tmp_path.glob("*_provenance.json")
    assert json.loads(record.read_text())["result"]["precision"] == "bfloat16"
    samples = Path(__file__).parents[2] / "samples"
    options = ("evaluate", "--data", samples, "-o", tmp_path / "scores", "--precision", "int8")
    assert "made of convolutions" in str(run(*options).exception)


def test_cells_of_an_unusual_size_bring_a_warning(tmp_path):
    small, model = tmp_path / "small.png", tmp_path / "model"
    shutil.copytree(find_checkpoint("nano"), model)
    config = read_config(model)
    for target in config.targets:  # a model for larger cells than those of the image
        config = config.with_settings(target, diameter_range=(25.0, 70.0))
    write_config(model / CONFIG_FILE, config)
    labels = np.zeros((96, 96), np.int32)
    for row in range(12, 96, 24):
        for column in range(12, 96, 24):
            labels[disk(labels.shape, (row, column), 4.5)] = 1
    write_image(small, (40 + 150 * (labels > 0)).astype(np.uint8))

    def said(*options):
        return run("segment", small, "-o", tmp_path, "--model", model, "--overwrite", *options).output

    assert "try --diameter auto" in said("--diameter", "none")
    assert re.search(r"warning: the median cell is 9 px wide, .* 25 to 70 px .*try --diameter 9", said())
    assert re.search(r"try --diameter 9", said("--diameter", "40"))
    (record,) = tmp_path.glob("*_provenance.json")
    (line,) = json.loads(record.read_text())["result"]["warnings"]
    last = json.loads((tmp_path / "segment.jsonl").read_text().splitlines()[-2])
    assert last["warnings"] == [line]
    assert line in last["message"]
    assert "warning" not in said("--diameter", "9")
    assert json.loads(record.read_text())["result"]["warnings"] == []


def test_a_low_mean_confidence_is_said(image_file, tmp_path):
    noise = gaussian_filter(np.random.default_rng(0).normal(size=(96, 96)), 3)
    write_image(
        tmp_path / "noise.png", np.interp(noise, (noise.min(), noise.max()), (0, 255)).astype(np.uint8)
    )
    result = run("segment", tmp_path / "noise.png", image_file, "-o", tmp_path / "out", "--cells-max", "0.3")
    assert result.exit_code == 0, result.output
    record = json.loads((tmp_path / "out" / "noise_provenance.json").read_text())["result"]
    assert record["cells"] > 0
    (doubted,) = (line for line in result.output.splitlines() if "low confidence" in line)
    assert "noise.png" in doubted
    assert f"low confidence (mean {record['confidence']:.2f})" in doubted


@pytest.mark.parametrize(
    "arguments",
    [
        ["info", "NAME"], ["segment", "NAME", "-o", "out"],
        ["segment", "a.png", "-o", "out", "--model", "NAME"],
        ["segment-large", "NAME", "-o", "x.zarr"], ["evaluate", "--data", "NAME"], ["tune", "NAME"],
        ["compare", "--data", "NAME", "-o", "out"], ["finetune", "NAME"], ["finetune", "a", "-o", "NAME"],
        ["train", "--train", "NAME", "--validation", "NAME"], ["pretrain", "NAME", "-o", "out"],
        ["process", "folder", "NAME", "-o", "out"], ["process", "livecell", "NAME", "-o", "out"],
        ["process", "csv", "NAME", "-o", "out"], ["process", "inspect", "NAME"],
        ["export", "NAME", "-o", "x.onnx"],
        ["import", "NAME.zip", "-o", "out", "--size", "9x9"],
    ],
    ids=lambda arguments: "-".join(arguments[:3]),
)  # fmt: skip
def test_names_that_no_file_can_have_are_refused_in_one_line(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    given = [argument.replace("NAME", "n" * 300) for argument in arguments]
    monkeypatch.setattr(sys, "argv", ["dinocell", *given])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    said = capsys.readouterr().err.strip()
    assert said.startswith("error: ")
    assert "too long" in said or "does not exist" in said or "no model and no folder" in said


def _main(*arguments, cwd, **environment):
    return subprocess.run(
        [sys.executable, "-m", "dinocell", *map(str, arguments)],
        cwd=cwd, capture_output=True, text=True, check=False, env=os.environ | environment,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "nanoo"], "no model and no folder is called 'nanoo'"),
        (["--model", "small"], "no trained weights"),
        (["--device", "tpu9"], "device 'tpu9' cannot be used"),
        (["--tile-size", "100"], "multiple of 32"),
        (["--overlap", "300"], "overlap is 300"),
        (
            ["--precision", "int4"],
            "'auto', 'float32', 'bfloat16' or 'int8', not 'int4'",
        ),
        (["--engine", "theano"], "engine: expected 'auto', 'onnx', 'torch' or 'openvino', not 'theano'"),
        (["--diameter", "big"], "diameter: expected pixels above 0, 'auto' or 'none', not 'big'"),
        (["--diameter", "-5"], "diameter: expected pixels above 0, 'auto' or 'none', not '-5'"),
    ],
)
def test_a_refusal_is_one_line_and_a_failure(image_file, tmp_path, arguments, message, monkeypatch, capsys):
    command = ["dinocell", "segment", str(image_file), "-o", str(tmp_path / "out"), *arguments]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert message in said
    assert said.startswith("error: ")
    assert len(said.strip().splitlines()) == 1
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.slow
def test_an_output_folder_that_cannot_be_made_is_refused(image_file, tmp_path):
    (tmp_path / "file").write_text("x")
    result = _main("segment", image_file, "-o", tmp_path / "file" / "out", cwd=tmp_path)
    assert result.returncode == 1
    assert "cannot write to output folder" in result.stderr


@pytest.mark.slow
def test_a_terminal_without_the_characters_does_not_stop_a_batch(image_file, tmp_path):
    result = _main("segment", image_file, "-o", tmp_path, cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert result.returncode == 0, result.stderr
    assert "3 cells" in result.stdout


def test_version_and_import_load_no_torch(tmp_path):
    result = _main("--version", cwd=tmp_path)
    assert result.stdout.strip() == f"dinocell {__version__}"
    code = "import sys, dinocell, dinocell.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_public_name_can_be_reached():
    import dinocell

    assert all(getattr(dinocell, name) is not None for name in dinocell.__all__)
    assert set(dir(dinocell)) == set(dinocell.__all__)
    with pytest.raises(AttributeError, match=r"attribute '?segmnt"):
        _ = dinocell.segmnt


def test_an_untrained_model_is_refused_and_then_allowed(image_file, tmp_path, caplog):
    folder = DINOCell.from_variant("nano").save_pretrained(tmp_path / "untrained")
    refused = run("segment", image_file, "-o", tmp_path / "out", "--model", folder)
    assert isinstance(refused.exception, UntrainedModelError)
    assert not (tmp_path / "out").exists()
    allowed = run("segment", image_file, "-o", tmp_path / "out", "--model", folder, "--allow-untrained")
    assert allowed.exit_code == 0, allowed.output
    assert "is untrained: its result means nothing" in caplog.text
    assert "meaningless, the model is untrained" in allowed.output
    assert (tmp_path / "out" / "cells_untrained_labels.tif").exists()
    run("segment", image_file, "-o", tmp_path / "out")  # what was tried does not stand for the result
    assert read_labels(tmp_path / "out" / "cells_labels.tif").max() == 3


def test_models_lists_nano_as_trained():
    output = run("models").output
    nano, licence = (line for line in output.splitlines() if " nano " in line)
    assert " cells, nuclei " in nano
    assert "5.6 M" in nano
    assert "MIT" in licence
    for variant in VARIANTS.values():  # whole, also where the terminal is narrow
        assert all(source in output for source in (variant.name, variant.title, *variant.sources))


@pytest.mark.slow
def test_evaluate_prints_a_row_a_folder():
    samples = Path(__file__).parents[2] / "samples"
    output = run("evaluate", "--data", samples).output
    row = next(line for line in output.splitlines() if line.startswith("│ samples"))
    assert len([cell for cell in row.split("│") if "(" in cell]) == 5


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_output_folder_is_refused(image_file, tmp_path):
    tmp_path.chmod(0o500)
    result = _main("segment", image_file, "-o", tmp_path / "out", cwd="/")
    assert "cannot write to output folder" in result.stderr


@pytest.mark.parametrize(
    ("script", "arguments", "expected"),
    [
        ("training/train.py", ["--help"], "train.py train"),
        ("training/train_with_config.py", ["--help"], "train_with_config.py train"),
        ("training/train_with_config.py", ["configs/nano.yaml", "--print-config"], "model: nano"),
        ("training/pretrain_dinov3.py", ["--help"], "pretrain_dinov3.py pretrain"),
        ("evaluation/evaluate.py", ["--help"], "evaluate.py evaluate"),
        ("dataset_processing/process_dataset.py", ["--help"], "process_dataset.py process"),
    ],
)
def test_the_scripts_of_the_method_paper_are_the_commands(script, arguments, expected, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["dinocell", *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(script, run_name="__main__")
    assert ended.value.code in (0, None)
    assert expected in capsys.readouterr().out
