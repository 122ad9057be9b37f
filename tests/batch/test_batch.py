import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import typer
from scipy import ndimage
from typer.testing import CliRunner

from dinocell.batch.jobs import PlaneJob, load_jobs
from dinocell.batch.outcomes import PlaneOutcome
from dinocell.batch.planes import Plane, StoppedError, Watched
from dinocell.batch.presence import confirm_outcomes
from dinocell.batch.run import MANY_FILES, segment_files
from dinocell.batch.settings import BatchSettings
from dinocell.batch.sources import FoundSources, SourceFile, find_sources
from dinocell.batch.spread import segment_task
from dinocell.cli import app
from dinocell.cli import segment as segment_command
from dinocell.cli.progress import block_bar
from dinocell.errors import FileFormatError, OutputError
from dinocell.inference.pipeline import DINOCellPipeline
from dinocell.inference.remote_model import RemoteModel
from dinocell.inference.segmentation import TilesDone
from dinocell.inference.settings import CompleteSettings
from dinocell.io.identity import hash_file
from dinocell.io.images import read_image, read_labels
from dinocell.io.saving import write_image
from dinocell.io.selection import Selection
from dinocell.postprocess.thresholds import Thresholds
from dinocell.preprocess.preprocessing import Preprocessing
from dinocell.results.record import ResultState, find_state, read_record
from tests.cases import disk
from tests.fakes.nd2 import FakeND2, slices
from tests.fakes.tiff import write_ome_set
from tests.fakes.zarr import write_ome_zarr
from tests.inference.test_targets import pipeline_of

runner = CliRunner()

OF_ALL = {"segment.jsonl", "summary.csv", "cells.csv"}
"""Files that are of all images of a folder of results."""

INFERENCE = CompleteSettings(thresholds_of={"cells": Thresholds()}, tile_size=256, overlap=32, clahe=True)


def run(*arguments):
    return runner.invoke(app, [str(argument) for argument in arguments])


def disks(side=128, radius=12, shift=0):
    labels = np.zeros((side, side), np.int32)
    for number, (row, column) in enumerate([(30, 30), (40, 95), (95, 50)], start=1):
        labels[disk(labels.shape, (row + shift, column), radius)] = number
    return (40 + 120 * (labels > 0)).astype(np.uint8)


@pytest.fixture
def tree(tmp_path):
    """Three images in a tree."""
    for number, name in enumerate(("a.png", "day1/b.png", "day1/well 2/c.png")):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, disks(shift=number))
    return tmp_path / "in"


def log_of(folder):
    return [json.loads(line) for line in (folder / "segment.jsonl").read_text().splitlines()]


def files_of(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.name != "segment.jsonl"
    }


def test_a_tree_is_segmented_into_the_same_tree_and_then_skipped(tree, tmp_path):
    out = tmp_path / "out"
    first = run("segment", tree, "-r", "-o", out)
    assert first.exit_code == 0, first.output
    assert {p.relative_to(out).as_posix() for p in out.rglob("*_labels.tif")} == {
        "a_labels.tif", "day1/b_labels.tif", "day1/well 2/c_labels.tif",
    }  # fmt: skip
    before = {name: (out / name).stat().st_mtime_ns for name in files_of(out)}
    second = run("segment", tree, "-r", "-o", out)
    assert second.exit_code == 0
    assert second.output.count("skipped") >= 3
    after = {name: (out / name).stat().st_mtime_ns for name in files_of(out)}
    assert {name for name in after if after[name] != before[name]} == OF_ALL - {"segment.jsonl"}
    events = [line["event"] for line in log_of(out)]
    assert events == ["started", *["done"] * 3, "ended", "started", *["skipped"] * 3, "ended"]
    assert all(line["cells"] == 3 for line in log_of(out) if line["event"] == "done")


def test_other_content_or_settings_are_done_again_but_the_same_under_a_new_date_is_not(tree, tmp_path):
    out = tmp_path / "out"
    run("segment", tree, "-r", "-o", out)
    os.utime(tree / "a.png", (1, 1))
    write_image(tree / "day1" / "b.png", np.zeros((40, 40), np.uint8))
    again = run("segment", tree, "-r", "-o", out)
    assert [line["event"] for line in log_of(out)[5:]] == [
        "started",
        "skipped",
        "skipped",
        "done",
        "ended",
    ] or (
        [line["event"] for line in log_of(out)[5:]] == ["started", "skipped", "done", "skipped", "ended"]
    ), again.output
    assert read_labels(out / "day1" / "b_labels.tif").shape == (40, 40)
    other = run("segment", tree / "a.png", "-o", out, "--cells-max", "1")
    assert "0 cells" in other.output
    assert read_labels(out / "a_labels.tif").max() == 0


def test_edited_labels_are_never_replaced_unasked(tree, tmp_path):
    image, out = tree / "a.png", tmp_path / "out"
    run("segment", image, "-o", out)
    (out / "a_labels.tif").write_bytes(b"mine")
    same = run("segment", image, "-o", out)
    assert same.exit_code == 0
    assert "done, and edited since" in same.output
    other = run("segment", image, "-o", out, "--cells-max", "0.6")
    assert other.exit_code == 1
    assert "edited since" in other.output
    assert (out / "a_labels.tif").read_bytes() == b"mine"
    assert run("segment", image, "-o", out, "--overwrite").exit_code == 0
    assert read_labels(out / "a_labels.tif").max() == 3


def test_files_of_others_are_never_replaced_unasked(tree, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a_labels.tif").write_bytes(b"theirs")
    result = run("segment", tree / "a.png", "-o", out)
    assert result.exit_code == 1
    assert "not written by dinocell segment" in result.output
    assert (out / "a_labels.tif").read_bytes() == b"theirs"


def test_a_result_that_was_deleted_is_made_again(tree, tmp_path):
    out = tmp_path / "out"
    run("segment", tree / "a.png", "-o", out)
    (out / "a_cells.csv").unlink()
    assert run("segment", tree / "a.png", "-o", out).exit_code == 0
    assert (out / "a_cells.csv").exists()


def test_an_unfinished_record_means_do_it_again(tree, tmp_path):
    out = tmp_path / "out"
    run("segment", tree / "a.png", "-o", out)
    whole = files_of(out)
    record = out / "a_provenance.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"finished": False, "files": {}}))
    (out / "a_labels.tif").write_bytes(b"half")
    (out / ".a_overlay.png.tmp-99999999").write_bytes(b"half")
    assert run("segment", tree / "a.png", "-o", out).exit_code == 0
    assert files_of(out) == whole


def test_the_record_says_how_and_from_what_the_results_were_made(tree, tmp_path):
    out = tmp_path / "out"
    run("segment", tree / "a.png", "-o", out, "--min-size", "7")
    record = read_record(out / "a_provenance.json")
    assert record.finished
    assert record.files == {
        name: hash_file(out / name) for name in ("a_labels.tif", "a_cells.csv", "a_overlay.png")
    }
    assert record.provenance["source"]["sha256"] == hash_file(tree / "a.png")
    assert record.provenance["min_size"] == 7
    assert record.provenance["model"]["name"] == "nano"
    assert len(record.provenance["model"]["sha256"]) == 64
    assert record.result["cells"] == 3
    with tifffile.TiffFile(out / "a_labels.tif") as tif:  # and so does the file itself
        assert record.provenance["source"]["sha256"] in tif.ome_metadata


def test_small_objects_are_removed_by_default_and_it_is_said(tmp_path):
    image = np.full((120, 160), 40, np.uint8)
    for centre, radius in [((30, 30), 14), ((30, 110), 14), ((90, 30), 14), ((90, 120), 3)]:
        image[disk(image.shape, centre, radius)] = 170
    write_image(tmp_path / "a.png", image)
    out = tmp_path / "out"
    command = ("segment", tmp_path / "a.png", "-o", out, "--target", "cells")
    said = run(*command).output
    record = read_record(out / "a_provenance.json")
    assert record.provenance["min_size"] == "auto"
    found = record.result
    assert found["removed"] == 1
    assert f"3 cells, 1 object under {found['min_size']} px removed" in said
    with tifffile.TiffFile(out / "a_labels.tif") as tif:
        assert f"min_size_found&quot;: {found['min_size']}" in tif.ome_metadata
    everything = run(*command, "--min-size", "0")
    assert "4 cells" in everything.output
    assert "px removed" not in everything.output
    assert "skipped" in run(*command, "--min-size", "0").output
    assert read_record(out / "a_provenance.json").provenance["min_size"] == 0


def test_an_overlay_that_shows_something_else_is_made_anew(tree, tmp_path):
    command = ("segment", tree / "a.png", "-o", tmp_path / "out")
    overlay = tmp_path / "out" / "a_overlay.png"
    run(*command)
    plain = read_image(overlay).pixels
    assert "skipped" not in run(*command, "--numbers").output
    numbers = read_image(overlay).pixels
    assert not np.array_equal(numbers, plain)
    assert "skipped" in run(*command, "--numbers").output
    assert "skipped" in run(*command, "--format", "tif").output  # which shows no numbers
    run(*command, "--format", "rois")
    assert "skipped" in run(*command, "--numbers").output
    assert "skipped" not in run(*command, "--numbers", "--legend").output
    assert np.array_equal(read_image(overlay).pixels[:128, :128], numbers)
    run(*command)
    assert np.array_equal(read_image(overlay).pixels, plain)


def test_the_name_of_its_results_stays_with_an_image(tree, tmp_path):
    out = tmp_path / "out"
    assert run("segment", tree, "-o", out, "--format", "tif").exit_code == 0
    write_image(tree / "a.tif", disks(shift=9))
    second = run("segment", tree, "-o", out, "--format", "tif")
    assert "a.png: skipped, done" in second.output
    names = {"a_labels.tif", "in_a_labels.tif"}
    assert {path.name for path in out.glob("*.tif")} == names
    (tree / "a.png").unlink()
    third = run("segment", tree, "-o", out, "--format", "tif")
    assert "a.tif: skipped, done" in third.output
    assert {path.name for path in out.glob("*.tif")} == names


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_no_unicode_are_done_once(tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for byte in (b"\xff", b"\xfe"):
        write_image(folder / os.fsdecode(byte * 100 + b".tif"), disks(shift=byte[0] - 250))
    assert run("segment", folder, "-o", out, "--format", "tif").exit_code == 0
    made = sorted(path.name for path in out.glob("*.tif"))
    assert made == sorted(os.fsdecode(byte * 100 + b"_labels.tif") for byte in (b"\xff", b"\xfe"))
    again = run("segment", folder, "-o", out, "--format", "tif")
    assert (again.exit_code, again.output.count("skipped, done\n")) == (0, 2)
    assert sorted(path.name for path in out.glob("*.tif")) == made


def test_names_that_the_file_system_spells_otherwise_have_not_vanished(tmp_path, monkeypatch):
    (tmp_path / "ä_provenance.json").touch()
    monkeypatch.setattr(os, "listdir", lambda folder: ["a\u0308_provenance.json"])
    outcome = PlaneOutcome(tmp_path / "ä.tif", "ä", "done", "3 cells", {})
    assert confirm_outcomes([outcome], tmp_path) == [outcome]


def _hollow(labels):
    """Count the background pixels that a single cell encloses."""
    filled = [ndimage.binary_fill_holes(labels == number) for number in range(1, labels.max() + 1)]
    return int(sum((whole & (labels == 0)).sum() for whole in filled))


def segmented(image, out, **options):
    """Segment by a network whose map are the grays of the image; return how it went, and the labels."""
    pipeline = pipeline_of(target="nuclei", merge=0.0, diameter=None, **options)
    settings = BatchSettings(
        out, ("tif",), "two", "", True, pipeline.predictor.preprocessing, pipeline.settings
    )
    (outcome,) = (
        event
        for event in segment_files([SourceFile(image, Path("ring"))], settings, pipeline)
        if isinstance(event, PlaneOutcome)
    )
    return outcome.status, read_labels(out / "ring_labels.tif")


def test_holes_are_filled_when_asked_and_what_was_done_without_is_done_again(tmp_path):
    image, out = tmp_path / "ring.png", tmp_path / "out"
    ring = disk((128, 128), (64, 64), 45) & ~disk((128, 128), (64, 64), 25)
    write_image(image, (40 + 120 * ring).astype(np.uint8))
    status, hollow = segmented(image, out)
    assert status == "done"
    assert _hollow(hollow) > 1000
    record = read_record(out / "ring_provenance.json").provenance
    status, filled = segmented(image, out, fill_holes=True)
    assert status == "done"
    assert _hollow(filled) == 0
    assert (filled > 0).sum() - (hollow > 0).sum() == _hollow(hollow)
    assert read_record(out / "ring_provenance.json").provenance == record | {"fill_holes": True}
    assert segmented(image, out, fill_holes=True)[0] == "skipped"
    direct = pipeline_of(target="nuclei", merge=0.0, diameter=None).run(
        read_image(image).pixels, fill_holes=True
    )
    assert np.array_equal(direct.labels, filled)
    assert "--fill-holes" in run("segment", "--help").output


def test_a_dry_run_says_what_it_would_do_and_does_nothing(tree, tmp_path):
    out = tmp_path / "out"
    run("segment", tree / "a.png", "-o", out)
    before = files_of(out)
    (tree / "broken.png").write_bytes(b"no image")
    result = run("segment", tree, "-r", "-o", out, "--dry-run")
    assert result.exit_code == 1
    assert "a.png: skipped, done" in result.output
    assert "b.png: would be segmented" in result.output
    assert "broken.png" in result.output
    assert files_of(out) == before
    assert not (tmp_path / "nowhere").exists()
    run("segment", tree, "-o", tmp_path / "nowhere", "--dry-run")
    assert not (tmp_path / "nowhere").exists()


def test_the_closing_table_counts_all_and_the_exit_code_tells(tree, tmp_path):
    out = tmp_path / "out"
    run("segment", tree / "a.png", "-o", out)
    (tree / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    result = run("segment", tree, tmp_path / "nothing.png", "-r", "-o", out)
    assert result.exit_code == 1
    table = [line.split() for line in result.output.splitlines()]
    assert ["done", "2"] in [row[:2] for row in table]
    assert ["skipped,", "done", "before", "1"] in [row[:4] for row in table]
    assert ["failed", "2"] in [row[:2] for row in table]
    assert "2 of 5 inputs failed" in result.output
    last = log_of(out)[-1]
    assert (last["event"], last["done"], last["failed"]) == ("ended", 2, 1)


def test_a_name_with_a_newline_stays_on_its_line(tmp_path):
    image = tmp_path / "in" / "two\nlines \x1b[31m.png"
    image.parent.mkdir()
    write_image(image, disks())
    result = run("segment", image, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "two\\nlines \\x1b[31m.png: 3 cells" in result.output
    assert (tmp_path / "out" / f"{image.stem}_labels.tif").exists()


@pytest.mark.slow
def test_every_plane_of_a_stack_gets_results_of_its_own(tmp_path):
    stack = tmp_path / "stack.tif"
    pixels = np.stack([np.stack([disks(shift=3 * t + z) for z in range(2)]) for t in range(2)])
    tifffile.imwrite(stack, pixels, imagej=True, metadata={"axes": "TZYX", "unit": "um"}, resolution=(2, 2))
    refused = run("segment", stack, "-o", tmp_path / "out")
    assert refused.exit_code == 1
    assert "--all-planes" in refused.output
    result = run(
        "segment", stack, "-o", tmp_path / "out", "--all-planes", "--separate-planes", "--diameter-um", "12"
    )
    assert result.exit_code == 0, result.output
    names = sorted(p.name for p in (tmp_path / "out").glob("*_labels.tif"))
    assert names == [f"stack_t000{t}_z00{z}_labels.tif" for t in range(2) for z in range(2)]
    assert all(read_labels(tmp_path / "out" / name).max() == 3 for name in names)
    one = run("segment", stack, "-o", tmp_path / "out", "--time", "1", "--z", "0:1", "--diameter-um", "12")
    assert "skipped" in one.output  # the same plane by another way of choosing it
    projected = run("segment", stack, "-o", tmp_path / "out", "--time", "0", "--z", "max")
    assert (tmp_path / "out" / "stack_t0000_zmax_labels.tif").exists(), projected.output


def test_a_diameter_in_micrometres_needs_a_pixel_size(tree, tmp_path):
    result = run("segment", tree / "a.png", "-o", tmp_path / "out", "--diameter-um", "12")
    assert result.exit_code == 1
    assert "does not say its pixel size" in result.output
    size = {"PhysicalSizeX": 0.325, "PhysicalSizeY": 0.65}
    tifffile.imwrite(tmp_path / "b.ome.tif", disks(), metadata={"axes": "YX"} | size)
    result = run("segment", tmp_path / "b.ome.tif", "-o", tmp_path / "out", "--diameter-um", "12")
    assert result.exit_code == 1
    assert "has pixels of 0.65 × 0.325 µm (Y × X), expected square ones" in " ".join(result.output.split())
    assert run("segment", tmp_path / "b.ome.tif", "-o", tmp_path / "out").exit_code == 0
    assert read_image(tmp_path / "out" / "b_labels.tif").pixel_size_yx_um == (0.65, 0.325)
    assert "area_um2" not in (tmp_path / "out" / "b_cells.csv").read_text()


def test_a_pixel_size_is_given_where_the_file_is_silent(tree, tmp_path):
    options = ["-o", tmp_path / "out", "--diameter-um", "12", "--pixel-size", "0.5"]
    result = run("segment", tree / "a.png", *options)
    assert result.exit_code == 0, result.output
    with (tmp_path / "out" / "a_cells.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    assert all(float(row["area_um2"]) == pytest.approx(float(row["area"]) / 4) for row in rows)
    assert read_image(tmp_path / "out" / "a_labels.tif").pixel_size_yx_um == (0.5, 0.5)
    record = read_record(tmp_path / "out" / "a_provenance.json")
    assert record.provenance["source"]["pixel_size_um"] == 0.5
    assert "skipped" in run("segment", tree / "a.png", *options).output
    assert "skipped" not in run("segment", tree / "a.png", *options[:-1], "0.6").output
    assert read_image(tmp_path / "out" / "a_labels.tif").pixel_size_yx_um == (0.6, 0.6)


def test_channels_are_chosen_and_measured_by_name(tmp_path):
    channels = tmp_path / "channels.ome.tif"
    pixels = np.stack([np.full((128, 128), 7, np.uint8), disks()])
    size = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    metadata = {"axes": "CYX", "Channel": {"Name": ["GFP", "DAPI"]}} | size
    tifffile.imwrite(channels, pixels, photometric="minisblack", metadata=metadata)
    result = run("segment", channels, "-o", tmp_path / "out", "--channel", "DAPI")
    assert "3 cells" in result.output
    with (tmp_path / "out" / "channels_cells.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {float(row["mean_intensity_GFP"]) for row in rows} == {7}
    assert all(float(row["mean_intensity_DAPI"]) > 100 for row in rows)
    assert all(float(row["area_um2"]) == pytest.approx(float(row["area"]) / 4) for row in rows)


def test_a_file_that_changes_while_it_is_read_is_not_segmented_as_two_halves(tmp_path):
    stack = tmp_path / "stack.nd2"  # a format whose reader does not notice by itself
    stack.write_bytes(FakeND2(np.zeros((3, 1, 16, 16), np.uint16), (slices(3, 1.0),)).content())
    settings = BatchSettings(
        tmp_path, ("tif",), "nano", "", True, Preprocessing(), INFERENCE, selection=Selection(all_planes=True)
    )
    jobs = load_jobs([SourceFile(stack, Path("stack"))], settings)
    assert isinstance(next(jobs), PlaneJob)
    os.utime(stack, (1, 1))  # what every write changes
    assert [event.status for event in jobs if isinstance(event, PlaneOutcome)] == ["failed", "failed"]
    last = list(load_jobs([SourceFile(stack, Path("stack"))], settings))
    assert sum(isinstance(event, PlaneJob) for event in last) == 3  # at rest again


def test_a_set_of_files_is_one_input_and_a_change_of_any_of_them_makes_it_new(tmp_path):
    first, second = write_ome_set(tmp_path, np.stack([disks(), disks()]))
    choose = ("--channel", "1", "-o", tmp_path / "out", "--format", "tif")
    assert run("segment", first, *choose).exit_code == 0
    source = read_record(next((tmp_path / "out").glob("*_provenance.json"))).provenance["source"]
    assert (source["name"], source["files"]) == (first.name, [first.name, second.name])
    assert "skipped" in run("segment", first, *choose).output
    write_ome_set(tmp_path, np.stack([disks(), np.zeros_like(disks())]))  # the first file stays as it was
    assert "1 cells" not in (again := run("segment", first, *choose)).output
    assert "skipped" not in again.output
    assert read_labels(next((tmp_path / "out").glob("*_labels.tif"))).max() == 0


def test_a_set_whose_other_file_changes_while_it_is_read_is_not_segmented_as_two_halves(tmp_path):
    first, second = write_ome_set(tmp_path, np.zeros((2, 16, 16), np.uint16), axis="T")
    settings = BatchSettings(
        tmp_path, ("tif",), "nano", "", True, Preprocessing(), INFERENCE, selection=Selection(all_planes=True)
    )
    jobs = load_jobs([SourceFile(first, Path("set"))], settings)
    assert isinstance(next(jobs), PlaneJob)
    os.utime(second, (1, 1))
    left = [event for event in jobs if isinstance(event, PlaneOutcome)]
    assert [event.status for event in left] == ["failed"]
    assert "changed while it was read" in left[0].message


def test_a_zarr_that_changes_while_it_is_read_fails(tmp_path):
    write_ome_zarr(tmp_path / "a.zarr", np.zeros((2, 16, 16), np.uint16), "zyx")
    settings = BatchSettings(
        tmp_path, ("tif",), "nano", "", True, Preprocessing(), INFERENCE, selection=Selection(all_planes=True)
    )
    jobs = load_jobs([SourceFile(tmp_path / "a.zarr", Path("a"))], settings)
    assert isinstance(next(jobs), PlaneJob)
    os.utime(tmp_path / "a.zarr" / "0" / ".zarray", (1, 1))
    left = [event for event in jobs if isinstance(event, PlaneOutcome)]
    assert [event.status for event in left] == ["failed"]
    assert "changed while it was read" in left[0].message


def _start(inputs, out):
    """Begin a batch in a process of its own; on one thread, so that its numbers are the same every time."""
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "dinocell", "segment", str(inputs), "-o", str(out)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def _kill_after(process, lines):
    """Kill a batch when it has printed so many lines, wherever its threads are; say if it still ran."""
    for _ in zip(range(lines), process.stdout, strict=False):
        pass
    process.kill()
    process.communicate()
    return process.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_killed_at_any_moment_and_started_again_nothing_is_lost_repeated_or_half_written(tmp_path):
    inputs = tmp_path / "in"
    inputs.mkdir()
    for number in range(12):
        write_image(inputs / f"i{number:02d}.png", disks(shift=number))
    whole = _start(inputs, tmp_path / "whole")
    whole.communicate()
    out = tmp_path / "killed"
    killed = 0
    for lines in (1, 4, 8):
        killed += _kill_after(_start(inputs, out), lines)
        for record in out.glob("*_provenance.json"):  # whatever says that it is finished is so
            found = read_record(record)
            assert found is not None
            assert all(hash_file(out / name) == digest for name, digest in found.files.items())
    assert killed
    last = _start(inputs, out)
    last.communicate()
    assert whole.returncode == last.returncode == 0
    assert files_of(out) == files_of(tmp_path / "whole")
    done = [line["name"] for line in log_of(out) if line["event"] == "done"]
    assert len(done) == len(set(done))


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root may mount a tiny disk")
def test_a_full_disk_stops_the_batch_and_leaves_nothing_half_written(tree, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    mounted = subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(out)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        result = run("segment", tree, "-r", "-o", out)
        assert result.exit_code == 1
        assert "No space left on device" in result.output
        assert "stopped" in result.output
        for record in map(read_record, out.rglob("*_provenance.json")):
            assert record is None or all((out / name).exists() for name in record.files)
        assert not list(out.rglob(".*"))
    finally:
        subprocess.run(["/bin/umount", str(out)], check=True)


def test_states_of_what_is_found(tmp_path):
    assert (
        find_state(tmp_path / "x_provenance.json", [tmp_path / "x.tif"], ("tif",), {}, "x") is ResultState.NEW
    )
    (tmp_path / "x.tif").write_bytes(b"1")
    assert (
        find_state(tmp_path / "x_provenance.json", [tmp_path / "x.tif"], ("tif",), {}, "x")
        is ResultState.FOREIGN
    )
    (tmp_path / "x_provenance.json").write_text("{damaged")
    assert (
        find_state(tmp_path / "x_provenance.json", [tmp_path / "x.tif"], ("tif",), {}, "x")
        is ResultState.FOREIGN
    )


def test_a_log_that_a_kill_cut_short_goes_on_on_a_line_of_its_own(tree, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "segment.jsonl").write_text('{"event": "done"}\n{"event": "do')
    run("segment", tree / "a.png", "-o", out)
    lines = (out / "segment.jsonl").read_text().splitlines()
    assert json.loads(lines[2])["event"] == "started"
    assert json.loads(lines[-1])["event"] == "ended"


@pytest.mark.slow
def test_an_edit_is_kept_through_calls_with_other_formats(tree, tmp_path):
    image, out = tree / "a.png", tmp_path / "out"
    run("segment", image, "-o", out)
    more = run("segment", image, "-o", out, "--format", "rois")
    assert more.exit_code == 0
    assert "skipped" in run("segment", image, "-o", out).output  # both sets of formats are done now
    (out / "a_labels.tif").write_bytes(b"mine")
    assert "edited since" in run("segment", image, "-o", out).output
    assert run("segment", image, "-o", out, "--cells-max", "0.3", "--format", "rois,tif").exit_code == 1
    assert (out / "a_labels.tif").read_bytes() == b"mine"


def test_results_of_another_image_of_that_name_are_not_replaced(tree, tmp_path):
    out = tmp_path / "out"
    write_image(tree / "a.tif", np.zeros((30, 30), np.uint8))
    run("segment", tree / "a.png", "-o", out)
    other = run("segment", tree / "a.tif", "-o", out)
    assert other.exit_code == 1
    assert "made from another image" in other.output
    moved = tmp_path / "moved"
    tree.rename(moved)
    assert "skipped, done" in run("segment", moved / "a.png", "-o", out).output


def test_a_plane_and_a_file_of_the_same_name_are_both_heard_of(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", np.stack([disks(), disks()]), photometric="minisblack")
    write_image(folder / "a_z000.png", disks())
    result = run("segment", folder, "-o", tmp_path / "out", "--all-planes", "--separate-planes")
    assert result.exit_code == 1
    assert "would have results named a_z000" in result.output


def test_one_defect_does_not_end_the_batch(tree, tmp_path):
    shutil.copy(tree / "a.png", tree / f"{'x' * 245}.png")  # its results' names are too long
    result = run("segment", tree, "-r", "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "longer than 255 bytes" in result.output
    assert ": rename it" in result.output
    assert len(list((tmp_path / "out").rglob("*_labels.tif"))) == 3


def test_channels_of_the_same_name_are_measured_apart(tmp_path):
    channels = tmp_path / "channels.tif"
    metadata = {"axes": "CYX", "Channel": {"Name": ["GFP", "GFP"]}}
    pixels = np.stack([disks(), np.full((128, 128), 7, np.uint8)])
    tifffile.imwrite(channels, pixels, photometric="minisblack", ome=True, metadata=metadata)
    run("segment", channels, "-o", tmp_path / "out", "--channel", "0")
    with (tmp_path / "out" / "channels_cells.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    means = sorted(float(value) for name, value in row.items() if name.startswith("mean_intensity"))
    assert means[0] == 7
    assert means[1] > 100


def test_no_channel_vanishes_from_the_table_and_the_record_says_which_was_segmented(tmp_path):
    channels = tmp_path / "channels.tif"
    metadata = {"axes": "CYX", "Channel": {"Name": ["A", "A", "A 1"]}}
    pixels = np.stack([disks(), disks() // 2, disks() // 4])
    tifffile.imwrite(channels, pixels, photometric="minisblack", ome=True, metadata=metadata)
    assert run("segment", channels, "-o", tmp_path / "out", "--channel", "number:0").exit_code == 0
    with (tmp_path / "out" / "channels_cells.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    means = [name for name in row if name.startswith("mean_intensity")]
    assert means == ["mean_intensity_A_0", "mean_intensity_A_1_1", "mean_intensity_A_1"]
    first, second, third = (float(row[name]) for name in means)
    assert first == pytest.approx(2 * second, abs=1) == pytest.approx(4 * third, abs=4)
    source = read_record(tmp_path / "out" / "channels_provenance.json").provenance["source"]
    assert (source["channel"], source["channel_number"], source["scene_number"]) == ("A 0", 0, 0)


def test_a_channel_is_segmented_though_another_is_not_in_the_file(tmp_path):
    pixels = 'DimensionOrder="XYZCT" Type="uint8" SizeX="128" SizeY="128" SizeC="3" SizeZ="1" SizeT="1"'
    xml = f"<OME><Image><Pixels {pixels}><TiffData/></Pixels></Image></OME>"
    tifffile.imwrite(
        tmp_path / "a.ome.tif",
        np.stack([disks(), disks() // 2]),
        description=xml,
        metadata=None,
        photometric="minisblack",
    )
    found = run("segment", tmp_path / "a.ome.tif", "--channel", 1, "-o", tmp_path / "out")
    assert found.exit_code == 0, found.output
    assert "not measured in channel 2, which the file does not have" in found.output
    warning = "a.ome.tif: 1 of the 3 planes that its OME-XML speaks of are not there"
    assert found.output.count(f"warning: {tmp_path}/{warning}") == 1
    table = next((tmp_path / "out").glob("*.csv")).read_text()
    lines = csv.DictReader(line for line in table.splitlines() if not line.startswith("#"))
    measured = {name for name in lines.fieldnames if name.startswith("mean_intensity")}
    assert measured == {"mean_intensity_channel_0", "mean_intensity_channel_1"}
    missing = run("segment", tmp_path / "a.ome.tif", "--channel", 2, "-o", tmp_path / "other")
    assert missing.exit_code == 1
    assert "does not have the plane of time 0, channel 2, slice 0 (1 of 3 planes" in missing.output
    shown = run("info", tmp_path / "a.ome.tif")
    assert "3 channels, 1 z slices; 1 of these planes is not in the file" in " ".join(shown.output.split())


def test_a_dry_run_says_what_would_fail(tmp_path):
    channels = tmp_path / "channels.tif"
    tifffile.imwrite(channels, np.stack([disks()] * 2), imagej=True, metadata={"axes": "CYX"})
    assert run("segment", channels, "-o", tmp_path / "out", "--dry-run").exit_code == 1
    assert run("segment", channels, "-o", tmp_path / "out", "--dry-run", "--channel", "5").exit_code == 1
    assert run("segment", channels, "-o", tmp_path / "out", "--dry-run", "--channel", "1").exit_code == 0


@pytest.fixture
def three(tree, tmp_path):
    """Three sources, a pipeline and settings for them."""
    sources = find_sources([str(tree)], recursive=True).sources
    pipeline = DINOCellPipeline("nano", device="cpu")
    settings = BatchSettings(
        tmp_path / "out",
        ("tif", "csv"),
        "nano",
        "",
        True,
        pipeline.predictor.preprocessing,
        pipeline.settings,
    )
    return sources, settings, pipeline


def _moving(events, out, after):
    """Move the output folder away after so many planes are done."""
    done = 0
    for event in events:
        yield event
        done += isinstance(event, PlaneOutcome) and event.status == "done"
        if done == after and out.exists():
            out.rename(out.with_name("moved"))


def test_an_output_folder_that_is_removed_meanwhile_stops_the_batch_and_is_not_made_again(three, tmp_path):
    sources, settings, pipeline = three
    settings.output.mkdir()
    events = segment_files(sources * 4, settings, pipeline)
    found = [event for event in _moving(events, settings.output, 1) if isinstance(event, PlaneOutcome)]
    assert found[0].status == "done"
    assert found[-1].status == "failed"
    assert found[-1].stops
    assert len(found) < 12
    assert "removed or moved" in found[-1].message
    assert not settings.output.exists()


@pytest.mark.parametrize("after", [1, 3])
def test_results_that_vanish_meanwhile_are_not_counted_as_done(three, capsys, after):
    sources, settings, pipeline = three
    events = _moving(segment_files(sources, settings, pipeline), settings.output, after)
    with pytest.raises(typer.Exit) as ended:
        segment_command._segment(lambda _: events, FoundSources(sources, [], {}), settings, block_bar())
    assert ended.value.exit_code == 1
    out, err = capsys.readouterr()
    assert "is gone" in out
    assert "3 of 3 inputs failed" in err
    log = log_of(settings.output.with_name("moved"))
    assert log[-1]["event"] == "ended"
    assert log[-1]["failed"] == 3
    assert "done" not in log[-1]


@pytest.fixture
def many(three, tmp_path):
    """As many sources as go through the model at once, a pipeline and settings for them."""
    sources, settings, pipeline = three
    named = [SourceFile(sources[0].path, Path(f"image{number}")) for number in range(MANY_FILES)]
    return named, settings, pipeline


def test_planes_that_go_through_the_model_at_once_give_the_same_files_in_order(many, tmp_path, monkeypatch):
    sources, settings, pipeline = many
    alone = replace(settings, output=tmp_path / "alone")
    for source in sources:
        list(segment_files([source], alone, pipeline))
    monkeypatch.setenv("OMP_NUM_THREADS", "3")  # whatever this machine has
    engine, sessions = pipeline.predictor.engine, set()
    session = engine._session
    outcomes = []
    for event in segment_files(sources, settings, pipeline, progress=lambda _: sessions.add(engine._session)):
        outcomes += [event] if isinstance(event, PlaneOutcome) else []
    assert [outcome.name for outcome in outcomes] == [str(source.name) for source in sources]
    for file in alone.output.glob("*_labels.tif"):
        assert (settings.output / file.name).read_bytes() == file.read_bytes()
    assert len(list(settings.output.glob("*_labels.tif"))) == MANY_FILES
    assert session not in sessions
    assert engine._session is session


def test_planes_that_wait_when_a_batch_is_left_are_not_begun(three):
    sources, settings, pipeline = three
    watched = Watched(None)
    planes = [
        Plane(job, pipeline, settings, watched)
        for job in load_jobs(sources[:1], settings)
        if isinstance(job, PlaneJob)
    ]
    with watched:
        watched(TilesDone(1, 2))
    with pytest.raises(StoppedError):
        planes[0].finish()
    with pytest.raises(StoppedError):
        watched(TilesDone(2, 2))
    assert not settings.output.exists()


@pytest.mark.parametrize("sources_of", ["three", "many"])
def test_what_a_callback_raises_ends_the_batch(sources_of, request, monkeypatch):
    class CancelError(Exception):
        pass

    def cancel(done):
        raise CancelError

    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    sources, settings, pipeline = request.getfixturevalue(sources_of)
    with pytest.raises(CancelError):
        list(segment_files(sources, settings, pipeline, progress=cancel))
    assert list(settings.output.iterdir()) == []


def test_a_worker_does_not_make_an_output_folder_again(three, tmp_path):
    sources, settings, _ = three
    with pytest.raises(OutputError, match="removed or moved"):
        segment_task((tuple(sources),), settings, RemoteModel.named("nano", device="cpu"), Path.cwd(), 0)
    assert not settings.output.exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_or_device_among_the_inputs_is_refused_and_waits_for_nothing(tree, tmp_path):
    os.mkfifo(tree / "pipe.png")
    (tree / "zeros.png").symlink_to("/dev/zero")
    result = run("segment", tree, tree / "pipe.png", "-o", tmp_path / "out")
    assert result.exit_code == 1
    for name in ("pipe", "zeros"):
        assert f"{name}.png is a pipe or device, expected an image file" in result.output
    assert "2 of 3 inputs failed" in result.output
    with pytest.raises(FileFormatError, match="pipe or device"):
        hash_file(tree / "pipe.png")


def _record(folder, **values):
    """Write a finished record of one file in the folder, with some values replaced."""
    (folder / "x.tif").write_bytes(b"1")
    record = {
        "provenance": {"source": {"name": "x"}}, "source": "here", "finished": True, "formats": ["tif"],
        "files": {"x.tif": hash_file(folder / "x.tif")},
    }  # fmt: skip
    (folder / "x_provenance.json").write_text(json.dumps(record | values))


@pytest.mark.parametrize(
    "damage",
    [
        {"files": {"x" * 300 + ".tif": "0" * 64}},
        {"files": {"../in/a.png": "0" * 64}},
        {"files": {"/dev/zero": "0" * 64}},
        {"files": {"..": "0" * 64}},
        {"files": {"a\0b": "0" * 64}},
        {"files": {"\ud800": "0" * 64}},
        {"stem": "../a"},
        {"provenance": []},
        {"source": None},
    ],
)
def test_a_damaged_record_is_not_ours(tmp_path, damage):
    provenance = {"source": {"name": "x"}}
    wanted = (tmp_path / "x_provenance.json", [tmp_path / "x.tif"], ("tif",), provenance, "here")
    _record(tmp_path)
    assert find_state(*wanted) is ResultState.DONE
    _record(tmp_path, **damage)
    assert find_state(*wanted) is ResultState.FOREIGN


def test_a_record_without_its_source_is_of_another_image(tmp_path):
    provenance = {"source": {"name": "x"}}
    wanted = (tmp_path / "x_provenance.json", [tmp_path / "x.tif"], ("tif",), provenance, "here")
    for damaged in ({}, {"source": 1}):
        _record(tmp_path, provenance=damaged, source="there")
        assert find_state(*wanted) is ResultState.OTHER


def test_a_damaged_record_is_said_to_be_damaged_and_can_be_replaced(tree, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a_provenance.json").write_text('{"provenance": {}, "source": "here", "files": {"a/b": ""}}')
    result = run("segment", tree, "-o", out)
    assert result.exit_code == 1
    assert "not written by dinocell segment, or their record is damaged" in result.output
    assert run("segment", tree, "-o", out, "--overwrite").exit_code == 0


def test_names_as_long_as_the_file_system_allows_are_written(tmp_path):
    length = 235
    image = tmp_path / f"{'n' * length}.png"
    write_image(image, disks())
    result = run("segment", image, "-o", tmp_path / "out", "--format", "tif,csv")
    assert result.exit_code == 0, result.output
    names = {path.name for path in (tmp_path / "out").iterdir()} - OF_ALL
    assert names == {f"{'n' * length}{end}" for end in ("_labels.tif", "_cells.csv", "_provenance.json")}
