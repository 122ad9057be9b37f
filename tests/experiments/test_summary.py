"""Tables over all images of a folder of results."""

import json

import numpy as np
import pandas as pd
import pytest
import tifffile

from dinocell.experiments.planes import find_results
from dinocell.experiments.summary import write_summary
from dinocell.io.images import read_labels
from dinocell.io.saving import write_image
from tests.batch.test_batch import disks, log_of, run


@pytest.fixture
def tree(tmp_path):
    """Two conditions: an image of two channels with a pixel size, and one whose name is a formula."""
    for name in ("control", "treated"):
        (tmp_path / "in" / name).mkdir(parents=True)
    size = {"PhysicalSizeX": 2.0, "PhysicalSizeY": 2.0, "Channel": {"Name": ["A", "B"]}}
    pixels = np.stack([disks(), np.full((128, 128), 7, np.uint8)])
    tifffile.imwrite(tmp_path / "in" / "control" / "a.ome.tif", pixels, metadata={"axes": "CYX"} | size)
    write_image(tmp_path / "in" / "treated" / "=1+1.png", disks(shift=3))
    return tmp_path / "in"


def test_a_row_an_image_and_a_row_a_cell(tree, tmp_path):
    out = tmp_path / "out"
    assert run("segment", tree / "treated", "-o", out / "treated").exit_code == 0
    (out / "treated" / "segment.jsonl").unlink()  # or its results would be those of another call
    done = run("segment", tree / "control", "-o", out, "--channel", "A", "--format", "csv,tif")
    assert done.exit_code == 0, done.output
    summary = pd.read_csv(out / "summary.csv").set_index("image")
    labels = read_labels(out / "a_labels.tif")
    control = summary.loc["a"]
    assert control.folder == "control"
    assert control.cells == labels.max() == 3
    assert control.cells_per_mm2 == pytest.approx(3 / (128 * 128 * 4e-6), rel=1e-5)
    assert control.confluence == pytest.approx((labels > 0).mean(), rel=1e-5)
    areas = np.bincount(labels.ravel())[1:]
    assert (control.median_area, control.median_area_um2) == (np.median(areas), 4 * np.median(areas))
    assert control.mean_intensity_B == 7
    assert control.mean_intensity_A == pytest.approx(
        np.mean([disks()[labels == cell].mean() for cell in (1, 2, 3)]), rel=1e-5
    )
    treated = summary.loc["treated/=1+1"]
    assert treated.folder == "treated"
    assert np.isnan([treated.cells_per_mm2, treated.mean_intensity_A]).all()
    cells = pd.read_csv(out / "cells.csv")
    assert cells.columns[:4].tolist() == ["image", "t", "z", "label"]
    assert cells.groupby("image").size().to_dict() == {"a": 3, "treated/=1+1": 3}
    own = pd.read_csv(out / "a_cells.csv")
    pd.testing.assert_frame_equal(cells[cells.image == "a"][own.columns], own, check_dtype=False)


def test_names_are_not_computed_by_a_spreadsheet(tree, tmp_path):
    assert run("segment", tree / "treated", "-o", tmp_path / "out", "--format", "csv").exit_code == 0
    assert "\r\n'=1+1,treated,0,0" in (tmp_path / "out" / "summary.csv").read_bytes().decode()
    assert "\r\n'=1+1,0,0,1," in (tmp_path / "out" / "cells.csv").read_bytes().decode()


def test_later_calls_keep_the_tables_up(tree, tmp_path):
    out = tmp_path / "out"
    assert run("segment", tree / "treated", "-o", out).exit_code == 0
    first = pd.read_csv(out / "summary.csv")
    write_image(tree / "treated" / "b.png", disks(shift=6))
    assert "1" in run("segment", tree / "treated", "-o", out).output
    second = pd.read_csv(out / "summary.csv")
    pd.testing.assert_frame_equal(second[second.image.isin(first.image)].reset_index(drop=True), first)
    assert sorted(second.image) == ["'=1+1", "b"]
    files = [(out / name).read_bytes() for name in ("summary.csv", "cells.csv")]
    run("segment", tree / "treated", "-o", out)
    assert [(out / name).read_bytes() for name in ("summary.csv", "cells.csv")] == files


def test_frames_have_rows_alike_in_one_file_and_apart(tmp_path):
    frames = np.stack([disks(), disks(shift=4), 0 * disks()])
    tifffile.imwrite(tmp_path / "m.tif", frames, imagej=True, metadata={"axes": "TYX"})
    for name, more in (("joined", []), ("apart", ["--separate-planes"])):
        run("segment", tmp_path / "m.tif", "-o", tmp_path / name, "--all-planes", *more)
    for table in ("summary.csv", "cells.csv"):
        joined, apart = (pd.read_csv(tmp_path / name / table) for name in ("joined", "apart"))
        pd.testing.assert_frame_equal(joined, apart)
    summary = pd.read_csv(tmp_path / "joined" / "summary.csv")
    assert summary[["image", "t", "cells"]].to_numpy().tolist() == [["m", 0, 3], ["m", 1, 3], ["m", 2, 0]]
    assert summary["flags"].tolist()[-1] == "empty"


def test_results_of_other_calls_and_unfinished_ones_are_passed_over(tree, tmp_path):
    out = tmp_path / "out"
    for name in ("", "other"):
        assert run("segment", tree / "treated", "-o", out / name).exit_code == 0
    record = out / "=1+1_provenance.json"
    (out / "half_provenance.json").write_text(
        record.read_text().replace('"finished": true', '"finished": false')
    )
    (out / "bad_provenance.json").write_text("{")
    assert [plane.image for image in find_results(out) for plane in image.planes] == ["=1+1"]


def test_records_of_earlier_versions_have_rows(tree, tmp_path):
    out = tmp_path / "out"
    run("segment", tree / "treated", "-o", out, "--format", "tif")
    record = out / "=1+1_provenance.json"
    content = json.loads(record.read_text())
    content["result"] = {"cells": 3, "confidence": 0.9}
    record.write_text(json.dumps(content))
    assert write_summary(out) == [out / "summary.csv"]  # there is no table of cells
    (row,) = pd.read_csv(out / "summary.csv").to_dict("records")
    assert (row["cells"], row["mean_confidence"]) == (3, 0.9)
    assert np.isnan(row["median_area"])


def test_a_call_that_could_not_begin_leaves_no_trace(tree, tmp_path):
    out = tmp_path / "out"
    assert run("segment", tree / "control", "-o", out).exit_code == 1  # of its channels none was chosen
    assert run("segment", tmp_path / "missing.png", "-o", out).exit_code == 1
    assert not out.exists()
    assert run("segment", tree / "control", "-o", out, "--channel", "0").exit_code == 0
    before = log_of(out)
    assert run("segment", tree / "control", "-o", out).exit_code == 1
    assert run("segment", tmp_path / "missing.png", "-o", out).exit_code == 1
    assert log_of(out) == before
    write_image(tree / "control" / "gray.png", disks())
    assert run("segment", tree / "control", "-o", out).exit_code == 1
    assert [line["event"] for line in log_of(out)[len(before) :]] == ["started", "failed", "done", "ended"]


def test_a_folder_may_be_called_as_those_of_planes_are(tmp_path):
    folder, out = tmp_path / "in" / "z_planes", tmp_path / "out"
    folder.mkdir(parents=True)
    write_image(folder / "a.png", disks())
    assert run("segment", tmp_path / "in", "-r", "-o", out).exit_code == 0
    assert pd.read_csv(out / "summary.csv").image.tolist() == ["z_planes/a"]
    write_image(tmp_path / "in" / "a.png", disks(shift=3))  # would have the name, were it the stem's folder
    assert "skipped, done" in run("segment", tmp_path / "in", "-r", "-o", out).output
    assert pd.read_csv(out / "summary.csv").image.tolist() == ["a", "z_planes/a"]


def test_planes_that_wait_for_others_are_no_results_yet(tmp_path):
    tifffile.imwrite(
        tmp_path / "m.tif", np.stack([disks(), disks(shift=3)]), imagej=True, metadata={"axes": "TYX"}
    )
    run("segment", tmp_path / "m.tif", "-o", tmp_path / "out", "--all-planes", "--separate-planes")
    parts = tmp_path / "out" / "m_planes"
    parts.mkdir()
    for path in (tmp_path / "out").glob("m_t*"):
        path.rename(parts / path.name)
    for record in parts.glob("*_provenance.json"):
        record.write_text(json.dumps(json.loads(record.read_text()) | {"part_of": "m"}))
    assert list(find_results(tmp_path / "out")) == []


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("content", [b"label;area\n1;5\n", b"\xff\xfe\x00l", b""])
def test_a_table_that_was_saved_otherwise_is_named_and_left_out(tree, tmp_path, kind, content, caplog):
    out = tmp_path / "out"
    write_image(tree / "treated" / "b.png", disks(shift=6))
    assert run("segment", tree / "treated", "-o", out, "--format", kind).exit_code == 0
    (out / f"b_cells.{kind}").write_bytes(content)
    assert run("segment", tree / "treated", "-o", out, "--format", kind).exit_code == 0
    assert f"b_cells.{kind} is no table of cells any more" in caplog.text
    read = {"csv": pd.read_csv, "parquet": pd.read_parquet}[kind]
    assert {name.strip("'") for name in read(out / f"cells.{kind}").image} == {"=1+1"}
