"""Stacks: their planes are segmented one by one, and joined."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import roifile
import tifffile

from dinocell.batch.names import known_names
from dinocell.batch.run import segment_files
from dinocell.batch.settings import BatchSettings
from dinocell.batch.sources import SourceFile
from dinocell.inference.pipeline import DINOCellPipeline
from dinocell.io.images import open_image, read_image
from dinocell.io.selection import Selection
from dinocell.io.stacks import StackAxes
from dinocell.results.overlay import OverlayFormat, write_overlay
from dinocell.results.result_format import Stack, StackPart
from tests.batch.test_batch import disks, run

FORMATS = ("csv", "parquet", "distance", "rois", "geojson", "coco", "overlay", "npy", "tif")


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A movie of two slices, which knows the size of its pixels."""
    path = tmp_path_factory.mktemp("stack") / "s.ome.tif"
    pixels = np.stack([np.stack([disks(shift=9 * t + 4 * z) for z in range(2)]) for t in range(3)])
    pixels[2, 1] = 0  # without cells
    size = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0, "TimeIncrement": 60.0}
    tifffile.imwrite(path, pixels, metadata={"axes": "TZYX"} | size)
    return path


@pytest.fixture(scope="module")
def results(stack, tmp_path_factory):
    """Return the results of the stack, joined and apart."""
    folder = tmp_path_factory.mktemp("results")
    for name, more in (("joined", []), ("apart", ["--separate-planes"])):
        done = run(
            "segment", stack, "-o", folder / name, "--all-planes", "--format", ",".join(FORMATS), *more
        )
        assert done.exit_code == 0, done.output
    return folder


def test_all_planes_are_in_one_file_a_format(results):
    names = {path.name for path in (results / "joined").iterdir()}
    endings = ("cells.csv", "cells.parquet", "distance.tif", "rois.zip", "cells.geojson", "coco.json")
    endings += ("overlay.tif", "labels.npy", "labels.tif", "provenance.json")
    of_all = {"segment.jsonl", "summary.csv", "cells.csv", "cells.parquet"}
    assert names == {*(f"s_{ending}" for ending in endings), *of_all}


def test_pixels_are_those_of_the_planes(results):
    for ending, axes in (("labels", "TZYX"), ("distance", "TZYX"), ("overlay", "TZYXS")):
        with tifffile.TiffFile(results / "joined" / f"s_{ending}.tif") as file:
            assert file.series[0].axes == axes
            joined = file.asarray()
        for t, z in np.ndindex(3, 2):
            (apart,) = (results / "apart").glob(f"s_t{t:04d}_z{z:03d}_{ending}.*[fg]")
            assert np.array_equal(joined[t, z], read_image(apart).pixels)
    labels = tifffile.imread(results / "joined" / "s_labels.tif")
    assert labels.max(axis=(2, 3)).tolist() == [[3, 3], [3, 3], [3, 0]]
    assert np.array_equal(np.load(results / "joined" / "s_labels.npy"), labels)


def test_the_labels_know_what_the_image_knows_of_its_axes(results):
    with open_image(results / "joined" / "s_labels.tif") as labels:
        info = labels.info
    assert (info.shape[:3], info.pixel_size_yx_um, info.z_step_um, info.time_step_s) == (
        (3, 1, 2), (0.5, 0.5), 2.0, 60.0,
    )  # fmt: skip
    with tifffile.TiffFile(results / "joined" / "s_labels.tif") as file:
        imagej = file.imagej_metadata
    assert (imagej["frames"], imagej["slices"], imagej["spacing"], imagej["finterval"]) == (3, 2, 2.0, 60.0)


def test_the_table_has_the_rows_of_all_planes(results):
    joined = pd.read_csv(results / "joined" / "s_cells.csv")
    assert joined.columns[:3].tolist() == ["t", "z", "label"]
    for (t, z), rows in joined.groupby(["t", "z"]):
        apart = pd.read_csv(results / "apart" / f"s_t{t:04d}_z{z:03d}_cells.csv")
        pd.testing.assert_frame_equal(rows.drop(columns=["t", "z"]).reset_index(drop=True), apart)
    assert joined.groupby(["t", "z"]).size().tolist() == [3] * 5
    parquet = pd.read_parquet(results / "joined" / "s_cells.parquet")
    pd.testing.assert_frame_equal(parquet, joined, check_dtype=False, rtol=1e-5)


def test_objects_lie_on_their_planes(results):
    rois = roifile.roiread(results / "joined" / "s_rois.zip")
    assert sorted((roi.t_position, roi.z_position) for roi in rois) == [
        (t, z) for t, z in ((1, 1), (1, 2), (2, 1), (2, 2), (3, 1)) for _ in range(3)
    ]
    features = json.loads((results / "joined" / "s_cells.geojson").read_text())["features"]
    assert len({feature["id"] for feature in features}) == 15
    coco = json.loads((results / "joined" / "s_coco.json").read_text())
    assert [annotation["id"] for annotation in coco["annotations"]] == list(range(1, 16))
    images = {image["id"]: (image["t"], image["z"]) for image in coco["images"]}
    assert [images[annotation["image_id"]] for annotation in coco["annotations"]][-3:] == [(2, 0)] * 3


def test_a_projection_keeps_its_name(stack, tmp_path):
    assert run("segment", stack, "-o", tmp_path, "--time", "0:2", "--z", "max").exit_code == 0
    with open_image(tmp_path / "s_zmax_labels.tif") as labels:
        assert labels.info.shape[:3] == (2, 1, 1)


def test_a_format_of_single_planes_is_refused_before_work(stack, tmp_path):
    refused = run("segment", stack, "-o", tmp_path, "--all-planes", "--format", "png")
    assert refused.exit_code == 1
    assert "png holds one plane a file, but 6 planes of" in refused.output
    assert "--separate-planes" in refused.output
    assert not list(tmp_path.glob("s_*"))


def settings_of(pipeline, output):
    return BatchSettings(
        output=output, formats=("csv", "tif"), model="nano", model_sha256="", trained=True,
        preprocessing=pipeline.predictor.preprocessing, inference=pipeline.settings,
        selection=Selection(all_planes=True),
    )  # fmt: skip


def test_a_call_that_was_stopped_goes_on_by_plane(stack, results, tmp_path):
    pipeline = DINOCellPipeline("nano", device="cpu")
    settings, sources = settings_of(pipeline, tmp_path), [SourceFile(stack, Path("s"))]
    events = segment_files(sources, settings, pipeline)
    first = [next(events) for _ in range(2)]
    events.close()
    assert [event.status for event in first] == ["done"] * 2
    assert known_names(tmp_path) == {str(stack.resolve()): Path("s")}  # whatever other inputs come
    kept = {path.name for path in (tmp_path / "s_planes").glob("*_labels.tif")}
    assert len(kept) >= 2
    outcomes = [event for event in segment_files(sources, settings, pipeline) if hasattr(event, "status")]
    skipped = [outcome for outcome in outcomes if outcome.status == "skipped"]
    assert {f"{outcome.name.removeprefix('s_planes/')}_labels.tif" for outcome in skipped} == kept
    assert outcomes[-1].message.endswith("6 planes, 15 cells → " + str(tmp_path / "s_labels.tif"))
    assert not (tmp_path / "s_planes").exists()
    whole = tifffile.imread(results / "joined" / "s_labels.tif")
    assert np.array_equal(tifffile.imread(tmp_path / "s_labels.tif"), whole)


def test_planes_that_fail_are_told_and_the_others_kept(tmp_path):
    path, out = tmp_path / "m.tif", tmp_path / "out"
    frames = np.stack([disks(), disks(shift=5), disks()]).astype(np.float32)
    tifffile.imwrite(path, frames, photometric="minisblack", metadata={"axes": "TYX"}, compression="zlib")
    with tifffile.TiffFile(path) as file:
        damaged = file.pages[1].dataoffsets[0]
    content = bytearray(path.read_bytes())
    content[damaged : damaged + 8] = b"\xff" * 8
    path.write_bytes(bytes(content))
    failed = run("segment", path, "-o", out, "--all-planes")
    assert failed.exit_code == 1
    assert "1 of 3 planes failed" in " ".join(failed.output.split())
    assert not (out / "m_labels.tif").exists()
    assert len(list((out / "m_planes").glob("*_labels.tif"))) == 2


def test_a_stack_that_was_edited_is_not_replaced(stack, tmp_path):
    options = ("segment", stack, "-o", tmp_path, "--z", "0", "--time", "0:2", "--format", "tif")
    run(*options)
    path = tmp_path / "s_z000_labels.tif"
    tifffile.imwrite(path, np.zeros((2, 128, 128), np.uint16))
    assert "skipped, done, and edited since" in run(*options).output
    refused = run(*options, "--cells-max", "0.9")
    assert refused.exit_code == 1
    assert "edited since: move them away" in " ".join(refused.output.split())
    assert not tifffile.imread(path).any()


def test_legends_of_different_lengths_fit_into_one_stack(tmp_path):
    pictures = [np.full((height, 30, 3), value, np.uint8) for height, value in ((40, 10), (52, 20))]
    parts = [StackPart(tmp_path / f"{t}.png", t, 0) for t in range(2)]
    for part, picture in zip(parts, pictures, strict=True):
        write_overlay(part.path, picture)
    stack = Stack(tmp_path / "m.tif", (40, 30), StackAxes(2, 1), {})
    OverlayFormat().join(tmp_path / "m_overlay.tif", parts, stack)
    joined = tifffile.imread(tmp_path / "m_overlay.tif")
    assert joined.shape == (2, 52, 30, 3)
    assert np.array_equal(joined[0, :40], pictures[0])
    assert (joined[0, 40:] == 255).all()
    assert np.array_equal(joined[1], pictures[1])


def test_a_damaged_part_fails_its_stack_and_not_the_batch(stack, tmp_path):
    pipeline = DINOCellPipeline("nano", device="cpu")
    settings = replace(settings_of(pipeline, tmp_path), formats=("coco",))
    sources = [SourceFile(stack, Path("s")), SourceFile(stack, Path("u"))]
    events = segment_files(sources, settings, pipeline)
    for _ in range(2):
        next(events)
    events.close()
    part = min((tmp_path / "s_planes").glob("*_coco.json"))
    part.write_text("{")  # edited by hand; it counts as done
    outcomes = [event for event in segment_files(sources, settings, pipeline) if hasattr(event, "status")]
    assert [one.status for one in outcomes if not one.part_of] == ["failed", "done"]
    assert part.read_text() == "{"
