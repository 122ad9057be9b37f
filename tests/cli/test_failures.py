"""Failures of many files: each kind is told once, on lines that are never wrapped in a file."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from rich.table import Table
from typer.testing import CliRunner

from dinocell.cli import app
from dinocell.cli.failures import Failures
from dinocell.cli.terminal import console
from dinocell.errors import Kind
from dinocell.io.saving import write_image, write_labels

FEW = 3  # that are printed in full


@pytest.fixture
def channels(tmp_path):
    """Write five annotated images of two channels; return their folder."""
    folder = tmp_path / ("a_rather_long_name_of_an_experiment_" * 4) / "plate"
    folder.mkdir(parents=True)
    for number in range(5):
        names = ["DAPI", "GFP"] if number % 2 else ["CD3", "GFP"]
        pixels = np.zeros((2, 32, 32), np.uint8)
        metadata = {"axes": "CYX", "Labels": names}
        tifffile.imwrite(folder / f"{number}_img.tif", pixels, imagej=True, metadata=metadata)
        write_labels(folder / f"{number}_masks.tif", np.eye(32, dtype=np.int32))
    return folder


def test_a_batch_tells_each_kind_once_and_logs_every_file(channels, tmp_path):
    (channels / "empty.tif").touch()
    write_image(channels / "gray.png", np.zeros((32, 32), np.uint8))  # without it there would be no log
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-m", "dinocell", "segment", channels, channels / "none.tif", "-o", out],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    told = [line for line in done.stderr.splitlines() if "_img.tif has 2 channels" in line]
    assert len(told) == FEW
    assert all(str(channels / f"{number}_img.tif") in told[number] for number in range(FEW))
    (more,) = [line for line in done.stderr.splitlines() if line.startswith("error: more files fail as")]
    assert "counted at the end" in more
    (line,) = [line for line in done.stdout.splitlines() if "have several channels" in line]
    assert line.startswith("  5 files have several channels: choose with --channel; names: CD3, GFP, DAPI (")
    assert line.endswith("2_img.tif and 2 more)")
    assert f"{channels / 'none.tif'} does not exist" in done.stdout
    events = [json.loads(line) for line in (out / "segment.jsonl").read_text().splitlines()]
    failed = [event for event in events if event["event"] == "failed"]
    assert [event.get("kind") for event in failed].count("have several channels") == 5
    assert len(failed) == 7


def test_the_first_of_several_channels_is_told_and_recorded(channels, tmp_path):
    command = ["segment", str(channels), "-o", str(tmp_path / "out"), "--channel", "DAPI,CD3"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    taken = {number: "DAPI" if number % 2 else "CD3" for number in range(5)}
    for number, name in taken.items():
        assert f"{number}_img.tif: 0 cells, channel {name}" in result.output
        record = json.loads((tmp_path / "out" / f"{number}_img_provenance.json").read_text())
        assert record["provenance"]["source"]["channel"] == record["result"]["channel"] == name
    assert CliRunner().invoke(app, command).output.count("skipped, done") == 6  # the table has it, too


def test_other_commands_tell_each_kind_once_too(channels, tmp_path):
    scored = CliRunner().invoke(app, ["evaluate", "--data", str(channels)])
    assert scored.exit_code == 1
    assert scored.output.count("choose with --channel, by name") == FEW
    assert "5 images have several channels: choose with --channel; names: CD3, GFP, DAPI" in scored.output
    process = ["process", "folder", str(channels), "-o", str(tmp_path / "store"), "--workers", "0"]
    made = CliRunner().invoke(app, process)
    assert made.output.count("choose with --channel, by name") == FEW
    assert "5 images have several channels: choose with --channel; names: CD3, GFP, DAPI" in made.output
    taken = CliRunner().invoke(app, [*process, "--channel", "DAPI,CD3"])
    assert taken.exit_code == 0, taken.output
    assert "0_img.tif: of channels DAPI,CD3 it has CD3" in taken.output


def test_up_to_a_few_failures_are_not_told_again(capsys):
    failures = Failures("images")
    for number in range(FEW):
        failures.add(f"{number}", f"{number} is bad", Kind("are bad"))
    failures.close()
    assert capsys.readouterr().err == "".join(f"error: {number} is bad\n" for number in range(FEW))
    failures.add("x\ny", "x\ny is bad", Kind("are bad"))
    failures.close()
    assert capsys.readouterr().err.splitlines() == [
        r"error: more images fail as x\ny does: counted at the end",
        "error: 4 images are bad (0, 1, 2 and 1 more)",
    ]


def test_a_table_in_a_file_is_as_wide_as_its_content(capsys):
    table, text = Table("name", "note"), "a long path with spaces " * 20
    table.add_row("x", text)
    console.print(table)
    assert text in capsys.readouterr().out
