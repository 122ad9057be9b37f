"""Large images from file to files: equal to the image in memory, and whole after whatever stopped the run."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from dinocell.checkpoint import Thresholds
from dinocell.cluster.start import open_engine
from dinocell.confidence import cell_confidence
from dinocell.distance import labels_to_distance
from dinocell.errors import FileFormatError, InputError, OutputError
from dinocell.images import read_image, read_labels
from dinocell.labels import relabel
from dinocell.large.grid import Grid
from dinocell.large.growth import Canvas, Part, grow_block
from dinocell.large.numbers import Numbering, renumber
from dinocell.large.outcome import LargeResult
from dinocell.large.run import StageDone
from dinocell.large.settings import LargeSettings
from dinocell.measure import measure_cells
from dinocell.metrics import evaluate
from dinocell.network import ModelNetwork
from dinocell.outlines import cell_polygons
from dinocell.preprocessing import preprocess
from dinocell.resampling import resize
from dinocell.selection import Place
from dinocell.tiling import blend, plan_tiles
from dinocell.watershed import distance_to_labels
from tests.fakes_zarr import write_ome_zarr
from tests.large_networks import PATIENCE, THRESHOLDS, Echo, events, finish

zarr = pytest.importorskip("zarr")

ROOT = Path(__file__).parents[1]
SHAPE = (150, 181)
ECHO = Echo()


def true_map(shape=SHAPE, seed=0):
    """Draw a distance map in 255 steps: touching cells of all sizes, some on the image's edge."""
    points = np.random.default_rng(seed).random(shape) > 0.994
    distance, nearest = ndimage.distance_transform_edt(~points, return_indices=True)
    numbered = np.cumsum(points).reshape(shape) * points
    labels = relabel(np.where(distance < 11, numbered[tuple(nearest)], 0))
    return np.rint(255 * labels_to_distance(labels)).astype(np.uint8)


def in_memory(image, *, scale=1.0, thresholds=THRESHOLDS, min_size=0):
    """Give the map and the labels of a whole image, by the functions that do not know of blocks."""
    gray = preprocess(image, ECHO.preprocessing, scale=scale)
    tiles = plan_tiles(gray.shape, ECHO.tile_size, ECHO.overlap)
    predictions = chain.from_iterable(ECHO.predict_batches(gray, tiles))
    distance = resize(blend(tiles, predictions, gray.shape), image.shape[:2])
    return distance, distance_to_labels(distance, **thresholds.model_dump(), min_size=min_size)


def by_first_pixel(labels):
    """Name cells 1…N in the order of their first pixels, so that labels of equal cells are equal."""
    ids, first, place = np.unique(labels, return_index=True, return_inverse=True)
    names = np.zeros(len(ids), np.int64)
    order = np.argsort(first[ids > 0])
    names[np.flatnonzero(ids > 0)[order]] = np.arange(1, len(order) + 1)
    return names[place].reshape(labels.shape)


def stored(output, level=0):
    return zarr.open_array(output / str(level), mode="r")[:]


def check(result, whole, *, least=50):
    """Check that a result is that of the image in memory, and that numbers have no gaps."""
    labels = stored(result.labels)
    assert labels.dtype == np.uint64
    assert whole.max() == result.cells >= least
    np.testing.assert_array_equal(np.unique(labels[labels > 0]), np.arange(1, result.cells + 1))
    np.testing.assert_array_equal(by_first_pixel(labels), by_first_pixel(whole))


@pytest.fixture
def image_file(tmp_path):
    """An image whose size is known."""
    folder = tmp_path / "in"
    size = {"y": 0.5, "x": 0.5}
    return write_ome_zarr(folder / "cells.zarr", true_map(), "yx", version="0.5", scale=size, chunks=(40, 50))


@pytest.fixture
def network(tmp_path):
    """A network whose calls are counted."""
    folder = tmp_path / "calls"
    folder.mkdir()
    return Echo(str(folder))


# The same labels as in memory


def with_gaps(image):
    """Turn an image into floats of any range, with pixels that say nothing."""
    pixels = image.astype(np.float32) * 17 - 300
    chance = np.random.default_rng(1).random(image.shape)
    pixels[chance < 0.01] = np.nan
    pixels[chance > 0.995] = np.inf
    return pixels


KINDS = {
    "uint8": lambda image: image,
    "uint16": lambda image: image.astype(np.uint16) * 257,
    "int32": lambda image: image.astype(np.int32) * 1000 - 70_000,
    "float32": with_gaps,
    "float64": lambda image: image / 1e9,
    "colour": lambda image: np.dstack([image, image // 2, image]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_a_tiled_tiff_are_those_in_memory(tmp_path, kind):
    image = KINDS[kind](true_map())
    photometric = "rgb" if image.ndim == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", image, tile=(32, 48), photometric=photometric, compression="zlib")
    check(finish(tmp_path / "a.tif", tmp_path / "a.zarr", ECHO), in_memory(image)[1])


SETTINGS = {
    "as they are": {},
    "small cells removed": {"min_size": 60},
    "all merged, no rims": {
        "thresholds": Thresholds(cells_max_threshold=0.4, cell_fill_threshold=0.3, merge=0)
    },
}


@pytest.mark.parametrize(("block", "name"), [*((37, name) for name in SETTINGS), (512, "as they are")])
def test_neither_blocks_nor_settings_tell_them_apart(tmp_path, image_file, block, name):
    result = finish(image_file, tmp_path / "a.zarr", ECHO, block=block, **SETTINGS[name])
    assert not result.cut
    check(result, in_memory(true_map(), **SETTINGS[name])[1])


def test_what_is_cut_is_counted_and_nearly_the_same(tmp_path, image_file):
    result = finish(image_file, tmp_path / "a.zarr", ECHO, largest=40**2, halo=24)
    assert result.cut == 1
    whole = in_memory(true_map())[1]
    assert evaluate(whole, relabel(stored(result.labels).astype(np.int64))).pq > 0.99


@pytest.mark.parametrize("scale", [0.6, 1.7])
def test_a_scaled_map_is_that_in_memory_within_rounding(tmp_path, image_file, scale):
    output = tmp_path / "a.zarr"
    result = finish(image_file, output, ECHO, scale=scale, keep_map=True)
    distance, whole = in_memory(true_map(), scale=scale)
    found = zarr.open_array(tmp_path / "a.zarr.work" / "map", mode="r")[:]
    np.testing.assert_allclose(found, distance, atol=2e-6)
    # A pixel that lies on a threshold but for rounding may change sides.
    labels = relabel(stored(result.labels).astype(np.int64))
    assert labels.max() == whole.max() > 10
    assert ((labels > 0) != (whole > 0)).mean() < 1e-3
    assert evaluate(whole, labels).ap[0.9] == 1


STACK = np.stack([true_map(seed=seed) for seed in range(12)]).reshape(2, 2, 3, *SHAPE)


@pytest.mark.parametrize(
    ("place", "channel", "image"),
    [
        (Place(1, 2, None, "_t0001_z002"), 0, STACK[1, 0, 2]),
        (Place(0, 1, None, ""), "red", STACK[0, 1, 1]),
        (Place(1, None, "max", ""), 1, STACK[1, 1].max(axis=0)),
        (Place(0, None, "mean", ""), 0, STACK[0, 0].mean(axis=0, dtype=np.float64).astype(np.float32)),
    ],
    ids=["slice", "name", "max", "mean"],
)
def test_one_plane_of_a_stack_is_taken(tmp_path, place, channel, image):
    names = ("green", "red")
    source = write_ome_zarr(tmp_path / "s.zarr", STACK, "tczyx", channel_names=names)
    result = finish(
        source, tmp_path / "a.zarr", ECHO, place=place, channel=channel, formats=("parquet",), block=100
    )
    distance, whole = in_memory(image)
    check(result, whole, least=5)  # a projection of maps is no map of many cells
    # Cells are measured in all channels of the place.
    planes = STACK[place.t, :, place.z] if place.z is not None else project(STACK[place.t], place.projection)
    check_table(
        read_parts(result.beside[0]),
        stored(result.labels),
        dict(zip(names, planes, strict=True)),
        distance,
        1.0,
    )


def project(stack, how):
    return stack.max(axis=1) if how == "max" else stack.mean(axis=1, dtype=np.float64).astype(np.float32)


def read_parts(folder):
    """Read the tables of all blocks as one, in the order of the labels."""
    parquet = pytest.importorskip("pyarrow.parquet")
    parts = [parquet.read_table(part).to_pandas() for part in sorted(folder.iterdir())]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(columns["label"])
    return {name: column[order] for name, column in columns.items()}


def check_table(table, labels, channels, distance, pixel_size_um=None):
    """Check that a table is that of the whole image."""
    cells = labels.astype(np.int32)
    confidence = cell_confidence(cells, distance)
    expected = measure_cells(cells, channels, pixel_size_um=pixel_size_um, confidence=confidence)
    assert list(table) == list(expected)
    assert table["label"].dtype == np.uint64
    for name, column in expected.items():
        if column.dtype.kind in "iu" or name.startswith("centroid"):
            np.testing.assert_array_equal(table[name], column, name)
        else:
            np.testing.assert_allclose(table[name], column, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("diameter", [None, 130, pytest.param(12, marks=pytest.mark.slow)])
def test_the_shipped_model_gives_the_labels_of_the_pipeline(tmp_path, diameter):
    image = read_image(ROOT / "samples" / "fluorescence_1_img.png").pixels[:300, :300]
    tifffile.imwrite(tmp_path / "a.tif", image, tile=(64, 64), photometric=None)
    network = ModelNetwork.named("nano", device="cpu")
    pipeline = network.load_pipeline()
    whole = pipeline.run(image, diameter=diameter)
    result = finish(
        tmp_path / "a.tif", tmp_path / "a.zarr", network, scale=pipeline.predictor.scale_for(diameter),
        thresholds=pipeline.thresholds(), block=100, keep_map=True,
    )  # fmt: skip
    distance = zarr.open_array(tmp_path / "a.zarr.work" / "map", mode="r")[:]
    labels = stored(result.labels)
    assert (whole.parameters.scale == 1) == (diameter is None)
    np.testing.assert_allclose(distance, whole.distance_map, atol=1e-5)
    if diameter is None:
        check(result, whole.labels)
    # A pixel that lies on a threshold but for rounding may change sides.
    assert evaluate(whole.labels, relabel(labels.astype(np.int64))).ap[0.95] == 1


# The files


def test_the_labels_are_an_ome_zarr_with_a_pyramid(tmp_path):
    ngff_zarr = pytest.importorskip("ngff_zarr")
    image = true_map((40, 1100))
    source = write_ome_zarr(tmp_path / "s.zarr", image, "yx", scale={"y": 0.25, "x": 0.25})
    result = finish(source, tmp_path / "a.zarr", ECHO, block=128)
    whole = in_memory(image)[1]
    check(result, whole)
    levels = ngff_zarr.from_ngff_zarr(str(result.labels)).images
    assert [level.data.shape for level in levels] == [(40, 1100), (20, 550), (10, 275)]
    for number, level in enumerate(levels):
        step = 2**number
        assert level.dims == ("y", "x")
        assert level.scale == {"y": 0.25 * step, "x": 0.25 * step}
        assert level.data.dtype == np.uint64
        np.testing.assert_array_equal(np.asarray(level.data), stored(result.labels)[::step, ::step])
    np.testing.assert_array_equal(read_labels(result.labels), stored(result.labels))
    assert read_image(result.labels).pixel_size_um == 0.25
    group = json.loads((result.labels / "zarr.json").read_text())["attributes"]
    assert "image-label" in group["ome"]
    assert (group["dinocell"]["cells"], group["dinocell"]["cut"]) == (result.cells, 0)
    assert [path.name for path in tmp_path.iterdir() if "a.zarr" in path.name] == ["a.zarr"]


def test_tables_and_polygons_are_those_of_the_whole_image(tmp_path, image_file):
    shapely = pytest.importorskip("shapely")
    formats = ("parquet", "geoparquet", "geojson")
    result = finish(image_file, tmp_path / "a.ome.zarr", ECHO, formats=formats, min_size=30)
    assert [path.name for path in result.beside] == [
        "a_cells.parquet",
        "a_polygons.parquet",
        "a_polygons.geojson",
    ]
    labels = stored(result.labels)
    distance, whole = in_memory(true_map(), min_size=30)
    check(result, whole)
    check_table(read_parts(result.beside[0]), labels, true_map(), distance, 0.5)
    table = read_parts(result.beside[1])
    geometry = table.pop("geometry")
    check_table(table, labels, true_map(), distance, 0.5)
    features = [
        feature
        for part in sorted(result.beside[2].iterdir())
        for feature in json.loads(part.read_text())["features"]
    ]
    assert sorted(int(feature["properties"]["name"]) for feature in features) == list(
        range(1, result.cells + 1)
    )
    outlines = {int(f["properties"]["name"]): shapely.geometry.shape(f["geometry"]) for f in features}
    for cell, pieces in cell_polygons(labels.astype(np.int32)).items():
        true = shapely.union_all([shapely.Polygon(piece.exterior, piece.holes) for piece in pieces])
        assert outlines[cell].equals(true)
        assert shapely.from_wkb(geometry[cell - 1]).equals(true)


CONSTANT = np.full((70, 90), 7, np.uint8)
SPECK = np.array([[5]], np.uint16)


@pytest.mark.parametrize("image", [CONSTANT, SPECK, SPECK.repeat(3, axis=1)], ids=["constant", "1x1", "1x3"])
def test_an_image_without_cells_has_empty_results(tmp_path, image):
    tifffile.imwrite(tmp_path / "a.tif", image)
    formats = ("parquet", "geoparquet", "geojson")
    result = finish(tmp_path / "a.tif", tmp_path / "a.zarr", ECHO, formats=formats)
    assert result.cells == 0
    np.testing.assert_array_equal(read_labels(result.labels), np.zeros(image.shape, np.int32))
    assert list(read_parts(result.beside[0]))[:2] == ["label", "area"]
    assert len(read_parts(result.beside[1])["geometry"]) == 0
    for part in result.beside[2].iterdir():
        assert json.loads(part.read_text())["features"] == []


def test_an_image_smaller_than_a_tile(tmp_path):
    image = true_map((41, 52))
    tifffile.imwrite(tmp_path / "a.tif", image)
    check(finish(tmp_path / "a.tif", tmp_path / "a.zarr", ECHO, block=32), in_memory(image)[1], least=5)


def test_more_pixels_than_can_be_held_are_begun_with(tmp_path):
    source = write_ome_zarr(tmp_path / "s.zarr", np.zeros((1, 1), np.uint8), "yx", version="0.5")
    zarr.create_array(source / "0", shape=(50_000, 50_000), chunks=(512, 512), dtype="uint8", overwrite=True)
    running = events(source, tmp_path / "a.zarr", ECHO, block=512)
    first, second = islice(running, 2)
    running.close()
    assert first == StageDone("statistics/1", 0, 98**2)
    assert second.done == 1


# Runs that are stopped


ALL = {"formats": ("parquet", "geojson")}


def stop_after(running, stage, count):
    """Run until so many blocks of a stage are done, and stop there."""
    for event in running:
        if event.stage == stage and event.done >= count:
            running.close()
            return
    raise AssertionError(stage)


ARRAYS = {"map": ("map", 128), "flood": ("cells", 64), "growth": ("grown", 64), "numbers": ("labels/0", 64)}
"""Stages that write pixels: where, and in blocks of which side."""

STAGES = ["statistics/1", "map", "components", "flood", "growth", "numbers", "described"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_run_goes_on_where_it_was_stopped(tmp_path, image_file, network, stage):
    output, work = tmp_path / "a.zarr", tmp_path / "a.zarr.work"
    stop_after(events(image_file, output, network, **ALL), stage, 2)
    assert not output.exists()
    before = records(work)
    assert len([name for name in before if name.startswith(f"{stage}/")]) == 2
    leave_halves(work, stage)
    for event in events(image_file, output, network, **ALL):
        if isinstance(event, LargeResult):
            result = event
        elif event.stage == "described" and event.done == event.total:
            after = records(work)
    assert {name: after[name] for name in before} == before  # nothing was done twice
    assert len(network.calls()) == 4  # of 2 × 2 blocks of the map
    distance, whole = in_memory(true_map())
    check(result, whole)
    check_table(read_parts(result.beside[0]), stored(output), true_map(), distance, 0.5)
    assert not work.exists()


def records(work):
    """Give every block's record with what changes when it is written again."""
    return {
        file.relative_to(work / "records").as_posix(): (file.stat().st_ino, file.stat().st_mtime_ns)
        for file in (work / "records").rglob("*.npz")
        if file.parent.name != "offsets"  # of no block
    }


def leave_halves(work, stage):
    """Leave what a process leaves that is killed in a block: pixels without a record, and half a record."""
    folder = work / "records" / stage
    (folder / ".000002-000002.npz.tmp-1").write_bytes(b"PK\3\4 half of a record")
    if stage in ARRAYS:
        name, side = ARRAYS[stage]
        array = zarr.open_array(work / name, mode="r+")
        for block in Grid(array.shape, side):
            task = f"{block.index:012d}" if stage == "flood" else block.name
            if not (folder / f"{task}.npz").exists():
                assert not array[block.window].any()
                array[block.window] = 1


def test_a_process_that_was_killed_in_a_block_loses_nothing(tmp_path, image_file, network):
    killed = replace(network, last_call=3)
    script = (
        "from pathlib import Path; from tests.large_networks import Echo, finish\n"
        f"finish(Path({str(image_file)!r}), Path({str(tmp_path / 'a.zarr')!r}), {killed!r})"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False
    )
    assert ended.returncode == -signal.SIGKILL
    assert len(network.calls()) == 3
    result = finish(image_file, tmp_path / "a.zarr", network)
    check(result, in_memory(true_map())[1])
    assert len(network.calls()) == 4 + 1  # only the block that it was in was done again


@pytest.mark.parametrize("target", ["a_polygons.geojson", "a.zarr"])
def test_results_that_were_moved_before_it_was_stopped_are_made_again(tmp_path, image_file, target):
    """Tables are moved into their places before polygons, and both before the labels."""
    output = tmp_path / "a.zarr"
    finish(image_file, output, ECHO, **ALL, min_size=200)
    obstacle = tmp_path / f".{target}.old-{os.getpid()}" / "in the way"
    obstacle.mkdir(parents=True)
    with pytest.raises(OutputError, match=f"{target} cannot be written"):
        finish(image_file, output, ECHO, overwrite=True, **ALL)
    assert not (tmp_path / "a.zarr.work" / "cells.parquet").exists()
    result = finish(image_file, output, ECHO, overwrite=True, **ALL)
    distance, whole = in_memory(true_map())
    check(result, whole)
    check_table(read_parts(result.beside[0]), stored(output), true_map(), distance, 0.5)
    assert len(list(result.beside[1].iterdir())) == 9


def test_what_an_interrupted_removal_left_is_not_gone_on_with(tmp_path, image_file):
    output, work = tmp_path / "a.zarr", tmp_path / "a.zarr.work"
    stop_after(events(image_file, output, ECHO, min_size=200), "numbers", 9)
    (work / "plan.json").unlink()  # goes first
    shutil.rmtree(work / "map" / "c" / "0")
    check(finish(image_file, output, ECHO), in_memory(true_map())[1])


def test_what_an_interrupted_clearing_left_is_not_gone_on_with(tmp_path, image_file, network):
    output, work = tmp_path / "a.zarr", tmp_path / "a.zarr.work"
    stop_after(events(image_file, output, network), "numbers", 9)
    plan = json.loads((work / "plan.json").read_text())
    (work / "plan.json").write_text(json.dumps({"map": plan["map"]}))  # comes first
    shutil.rmtree(work / "cells")
    shutil.rmtree(work / "records" / "pieces")
    check(finish(image_file, output, network), in_memory(true_map())[1])
    assert len(network.calls()) == 4


# Runs that follow on others


LOWER = Thresholds(cells_max_threshold=0.4, cell_fill_threshold=0.2, merge=0.9)


def test_other_thresholds_on_a_kept_map_need_no_network(tmp_path, image_file, network):
    output = tmp_path / "a.zarr"
    finish(image_file, output, network, keep_map=True)
    calls = network.calls()
    with pytest.raises(OutputError, match=r"a.zarr exists and was made in another way.*--overwrite"):
        finish(image_file, output, network, thresholds=LOWER)
    result = finish(image_file, output, network, thresholds=LOWER, overwrite=True, min_size=5)
    check(result, in_memory(true_map(), thresholds=LOWER, min_size=5)[1])
    assert network.calls() == calls
    assert not (tmp_path / "a.zarr.work").exists()  # as it was not asked for again


def test_other_thresholds_after_a_stop_keep_the_map(tmp_path, image_file, network):
    output = tmp_path / "a.zarr"
    stop_after(events(image_file, output, network), "growth", 3)
    check(finish(image_file, output, network, thresholds=LOWER), in_memory(true_map(), thresholds=LOWER)[1])
    assert len(network.calls()) == 4


@pytest.mark.parametrize("what", ["network", "scale", "image", "time of the image"])
def test_work_on_another_map_is_only_given_up_when_told(tmp_path, image_file, what):
    output, other = tmp_path / "a.zarr", {"image": image_file, "network": ECHO}
    stop_after(events(image_file, output, ECHO), "map", 2)
    if what == "image":
        other["image"] = write_ome_zarr(tmp_path / "b.zarr", true_map(seed=1), "yx")
    elif what == "time of the image":
        os.utime(image_file / "zarr.json", ns=(0, 10**9 * int(time.time() + 100)))
    else:
        other |= {"network": replace(ECHO, name="another")} if what == "network" else {"scale": 0.5}
    image, network = other.pop("image"), other.pop("network")
    before = snapshot(tmp_path / "a.zarr.work")
    with pytest.raises(OutputError, match=r"a.zarr.work holds work on another image or with another model"):
        finish(image, output, network, **other)
    assert snapshot(tmp_path / "a.zarr.work") == before
    result = finish(image, output, network, overwrite=True, **other)
    if what != "scale":
        check(result, in_memory(true_map(seed=what == "image"))[1])


def snapshot(folder):
    """Give the content and the time of every file."""
    return {
        str(file.relative_to(folder)): (file.read_bytes(), file.stat().st_mtime_ns)
        for file in folder.rglob("*")
        if file.is_file()
    }


def test_what_is_done_is_left_as_it_is(tmp_path, image_file):
    output = tmp_path / "a.zarr"
    first = finish(image_file, output, ECHO, **ALL)
    before = snapshot(tmp_path)
    only = list(events(image_file, output, ECHO, **ALL))
    assert only == [replace(first, skipped=True)]
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("what", ["image", "formats", "a table that is gone"])
def test_what_was_made_otherwise_is_not_taken_for_done(tmp_path, image_file, what):
    output, options = tmp_path / "a.zarr", dict(ALL)
    finish(image_file, output, ECHO, **ALL)
    if what == "image":
        shutil.rmtree(image_file)
        size = {"y": 0.5, "x": 0.5}
        write_ome_zarr(image_file, true_map(seed=2), "yx", version="0.5", scale=size)
    elif what == "formats":
        options["formats"] = ("parquet", "geoparquet")
    else:
        shutil.rmtree(tmp_path / "a_cells.parquet")
    with pytest.raises(OutputError, match="exists and was made in another way"):
        finish(image_file, output, ECHO, **options)
    result = finish(image_file, output, ECHO, overwrite=True, **options)
    check(result, in_memory(true_map(seed=2 * (what == "image")))[1])
    assert [len(list(folder.iterdir())) for folder in result.beside] == [9, 9]


def test_an_output_that_cannot_be_written_is_told(tmp_path, image_file):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError, match="cannot be written"):
        finish(image_file, tmp_path / "file" / "a.zarr", ECHO)


# Workers that are killed


@pytest.mark.slow
def test_workers_that_are_killed_lose_nothing(tmp_path, network):
    """One of two is killed at work on the map; then the other one, at work on the cells."""
    image = true_map((190, 240))
    source = write_ome_zarr(tmp_path / "s.zarr", image, "yx", version="0.5")
    held, killed = replace(network, held=True), []
    killer = threading.Thread(target=kill_one_at_work, args=(held, killed))
    with open_engine(workers=2) as engine:
        killer.start()
        for event in events(source, tmp_path / "a.zarr", held, engine=engine, **ALL):
            if isinstance(event, StageDone) and (event.stage, event.done) == ("flood", 1):
                survivor, *_ = set(network.calls()) - set(killed)
                killed.append(survivor)
                os.kill(survivor, signal.SIGKILL)
        killer.join()
    assert len(killed) == 2
    assert len(network.calls()) == 4 + 1  # the block that the first was at was done again
    here = finish(source, tmp_path / "b.zarr", ECHO, **ALL)
    check(event, in_memory(image)[1])
    np.testing.assert_array_equal(stored(event.labels), stored(here.labels))
    for name in ("cells.parquet", "polygons.geojson"):
        first, second = (tmp_path / f"{stem}_{name}" for stem in "ab")
        assert sorted(file.name for file in first.iterdir()) == sorted(file.name for file in second.iterdir())
    table, other = (read_parts(result.beside[0]) for result in (event, here))
    for column in table:
        np.testing.assert_array_equal(table[column], other[column])


def kill_one_at_work(network, killed):
    """When two processes are at tiles, kill one, and let the other go on."""
    deadline = time.monotonic() + PATIENCE
    while len(begun := set(network.calls())) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    killed.append(min(begun))
    os.kill(killed[0], signal.SIGKILL)
    (Path(network.folder) / "released").touch()


# Numbers without end


def test_numbers_beyond_32_bits_survive():
    grid = Grid((4, 8), 4)
    first, second = grid
    offsets = np.array([2**33, 2**40 + 7], np.int64)
    rims = {0: np.zeros(3, np.float32), 1: np.zeros(2, np.float32)}
    canvas = Canvas((slice(0, 4), slice(0, 8)), rims.__getitem__)
    canvas.paint(second, Part(1, np.array([[0, 0, 1, 1]] * 4, np.int32)))
    canvas.paint(first, Part(0, np.array([[1, 0, 2, 2]] * 4, np.int32)))
    ids = canvas.ids(offsets)
    assert ids.dtype == np.uint64
    assert ids[canvas.grown()][0].tolist() == [2**33 + 1, 0, 2**33 + 2, 2**33 + 2, 0, 0, 2**40 + 8, 2**40 + 8]
    blocks = {}
    for block in grid:
        painted = lambda near, window: [Part(near.index, PARTS[near.index][window])]  # noqa: E731
        blocks[block.index] = grow_block(block, grid, 0, painted, rims.__getitem__, offsets)
    assert blocks[1][0][0].tolist() == [0, 0, 2**40 + 8, 2**40 + 8]
    numbering = Numbering(0)
    for _, record in blocks.values():
        numbering.add(record)
    assert numbering.finish() == 3
    labels = [renumber(part, numbering.of_block(index, record)) for index, (part, record) in blocks.items()]
    assert np.hstack(labels)[0].tolist() == [1, 0, 2, 2, 0, 0, 3, 3]


PARTS = [np.array([[1, 0, 2, 2]] * 4, np.int32), np.array([[0, 0, 1, 1]] * 4, np.int32)]


def record(ids, on_edge):
    """Give what growth says of cells of one pixel each."""
    count = len(ids)
    boxes = np.tile([0, 0, 1, 1], (count, 1))
    areas, edge = np.ones(count, np.int64), np.arange(count) < on_edge
    return {"ids": np.asarray(ids, np.uint64), "areas": areas, "boxes": boxes, "on_edge": edge}


def test_more_cells_than_32_bits_can_count_are_numbered_on():
    numbering = Numbering(0)
    last = record([2**63, 2**63 + 1], 1)
    numbering.add(record([5], 0))
    numbering.add(last)
    numbering._own_counts[0] = 2**40  # as if there had been as many, which no test can hold
    assert numbering.finish() == 2**40 + 2
    numbers = numbering.of_block(1, last)
    assert numbers.numbers.tolist() == [2**40 + 2, 2**40 + 1]
    labels = renumber(np.array([[0, 2**63 + 1, 2**63]], np.uint64), numbers)
    assert labels.tolist() == [[0, 2**40 + 1, 2**40 + 2]]
    assert labels.dtype == np.uint64


def test_numbering_remembers_only_cells_on_edges():
    numbering = Numbering(0)
    tracemalloc.start()
    for block in range(40):
        numbering.add(record(np.arange(20_000) + 20_000 * block, 5))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert numbering.finish() == 800_000
    assert held < 40 * 20_000  # less than a byte a cell, whose numbers alone have eight


def test_a_setting_that_is_out_of_bounds_is_told():
    for options, said in [
        ({"block": 8}, "block is 8, expected at least 16 pixels"),
        ({"scale": 0.0}, "scale is 0.0, expected a positive number"),
        ({"formats": ("parquet", "xls")}, "format 'xls' is unknown, expected some of parquet, geoparquet"),
    ]:
        with pytest.raises(InputError, match=said):
            LargeSettings(THRESHOLDS, **options)


def test_a_chunk_that_is_damaged_is_told_and_can_be_mended(tmp_path, image_file):
    chunk = image_file / "0" / "c" / "1" / "1"
    content = chunk.read_bytes()
    chunk.write_bytes(b"no chunk")
    with pytest.raises(FileFormatError, match=r"cells.zarr is a damaged"):
        finish(image_file, tmp_path / "a.zarr", ECHO)
    chunk.write_bytes(content)
    check(finish(image_file, tmp_path / "a.zarr", ECHO), in_memory(true_map())[1])
