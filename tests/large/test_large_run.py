"""Large images from file to files: equal to the image in memory."""

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import tifffile

from dinocell.errors import InputError
from dinocell.inference.remote_model import RemoteModel
from dinocell.io.images import read_image, read_labels
from dinocell.io.selection import SelectedPlane
from dinocell.labels import cell_areas, median_diameter, relabel
from dinocell.large.plan import read_provenance
from dinocell.large.stage_done import StageDone
from dinocell.measure.outlines import cell_polygons
from dinocell.metrics.scores import evaluate
from dinocell.postprocess.distance import labels_to_distance
from dinocell.postprocess.thresholds import Thresholds
from dinocell.postprocess.watershed import distance_to_labels
from tests.cases import disk
from tests.fakes.large_images import (
    ECHO,
    SHAPE,
    check,
    check_table,
    in_memory,
    read_parts,
    stored,
    true_map,
    write_cells,
)
from tests.fakes.large_networks import THRESHOLDS, events, finish, large_settings
from tests.fakes.zarr import write_ome_zarr

zarr = pytest.importorskip("zarr")

ROOT = Path(__file__).parents[2]


@pytest.fixture
def image_file(tmp_path):
    """An image whose size is known."""
    return write_cells(tmp_path / "in" / "cells.zarr")


# The same labels as in memory


def with_gaps(image):
    """Turn an image into floats of any range, with pixels that say nothing."""
    pixels = image.astype(np.float32) * 17 - 300
    chance = np.random.default_rng(1).random(image.shape)
    pixels[chance < 0.01] = np.nan
    pixels[chance > 0.995] = np.inf
    return pixels


KINDS = {
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
    check(finish(tmp_path / "a.tif", tmp_path / "a.zarr", ECHO, block=80), in_memory(image)[1])


SETTINGS = {
    "as they are": {},
    "small cells removed": {"min_size": 60},
    "all merged, not regrown": {
        "thresholds": Thresholds(cells_max_threshold=0.4, cell_fill_threshold=0.3, merge=0)
    },
}


@pytest.mark.parametrize(
    ("block", "name"), [(37, "as they are"), *((64, name) for name in SETTINGS), (512, "as they are")]
)
def test_neither_blocks_nor_settings_tell_them_apart(tmp_path, image_file, block, name):
    result = finish(image_file, tmp_path / "a.zarr", ECHO, block=block, **SETTINGS[name])
    assert not result.cut
    whole = in_memory(true_map(), **SETTINGS[name])[1]
    check(result, whole)
    every = in_memory(true_map(), **SETTINGS[name] | {"min_size": 0})[1]
    assert result.removed == every.max() - whole.max()
    assert result.diameter == pytest.approx(median_diameter(whole))


def test_the_median_cell_of_the_whole_image_decides_which_are_too_small(tmp_path):
    labels = np.zeros((100, 150), np.int32)
    places = [(row, column, 8) for row in (12, 40, 64) for column in (12, 40, 64, 90, 118)]
    places += [(88, column, 2) for column in (10, 64, 100)] + [(64, 140, 2)]  # on seams, too
    for number, (row, column, radius) in enumerate(places, 1):
        labels[disk(labels.shape, (row, column), radius)] = number
    image = np.rint(255 * labels_to_distance(labels)).astype(np.uint8)
    source = write_ome_zarr(tmp_path / "in.zarr", image, "yx", version="0.5", chunks=(40, 50))
    whole = in_memory(image, min_size="auto")[1]
    every = in_memory(image)[1]
    assert (every.max(), whole.max()) == (19, 15)
    for block in (37, 64, 512):
        result = finish(source, tmp_path / f"{block}.zarr", ECHO, block=block, min_size="auto")
        check(result, whole, least=15)
        assert (result.removed, result.min_size) == (4, np.ceil(np.median(cell_areas(every)[1:]) / 10))
        found = read_provenance(result.labels)["counts"]
        assert (found["removed"], found["min_size"]) == (4, result.min_size)


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
    (path,) = (tmp_path / "a.zarr.work").glob("map-*/map")
    found = zarr.open_array(path, mode="r")[:]
    np.testing.assert_allclose(found, distance, atol=2e-6)
    # A pixel that lies on a threshold but for rounding may change sides.
    labels = relabel(stored(result.labels).astype(np.int64))
    assert labels.max() == whole.max() > 10
    assert ((labels > 0) != (whole > 0)).mean() < 1e-3
    assert evaluate(whole, labels).ap[0.9] == 1


@pytest.mark.parametrize(("value", "scale"), [(np.nan, 1), (700, 0.6)])
def test_margins_are_left_out_as_in_memory(tmp_path, value, scale):
    image = true_map().astype(np.float32) + 20
    image[5, 5] = np.inf
    depths = ((0, 90), (70, 131))  # blocks without a pixel of the field, and with a few
    tifffile.imwrite(tmp_path / "a.tif", np.pad(image, depths, constant_values=value), tile=(64, 64))
    result = finish(tmp_path / "a.tif", tmp_path / "a.zarr", ECHO, scale=scale, keep_map=True)
    assert result.nonfinite == 1
    made = json.loads((result.labels / "zarr.json").read_text())["attributes"]["dinocell"]
    assert made["field"] == [[0, 100], [70, 220]]
    (path,) = (tmp_path / "a.zarr.work").glob("map-*/map")
    found = zarr.open_array(path, mode="r")[:]
    distance = np.pad(in_memory(image, scale=scale)[0], depths)
    np.testing.assert_allclose(found, distance, atol=2e-6)
    assert (found > 0).sum() == (distance > 0).sum()
    if scale == 1:
        check(result, distance_to_labels(distance, thresholds=THRESHOLDS))


STACK = np.stack([true_map(seed=seed) for seed in range(12)]).reshape(2, 2, 3, *SHAPE)


@pytest.mark.parametrize(
    ("place", "channel", "image"),
    [
        (SelectedPlane(1, 2, None, "_t0001_z002"), 0, STACK[1, 0, 2]),
        (SelectedPlane(0, 1, None, ""), "red", STACK[0, 1, 1]),
        (SelectedPlane(1, None, "max", ""), 1, STACK[1, 1].max(axis=0)),
        (
            SelectedPlane(0, None, "mean", ""),
            0,
            STACK[0, 0].mean(axis=0, dtype=np.float64).astype(np.float32),
        ),
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
    check(result, whole, least=5)  # a projection of maps holds few cells
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


@pytest.mark.parametrize("diameter", [None, 130, pytest.param(12, marks=pytest.mark.slow)])
def test_the_shipped_model_gives_the_labels_of_the_pipeline(tmp_path, diameter):
    image = read_image(ROOT / "samples" / "fluorescence_1_img.png").pixels[:150, :260]
    tifffile.imwrite(tmp_path / "a.tif", image, tile=(64, 64), photometric=None)
    network = RemoteModel.named("nano", device="cpu")
    pipeline = network.load_pipeline()
    whole = pipeline.run(image, target="nuclei", diameter=diameter)
    result = finish(
        tmp_path / "a.tif", tmp_path / "a.zarr", network, target="nuclei", keep_map=True, block=100,
        scale=pipeline.predictor.scale_for(diameter, "nuclei"),
        thresholds=pipeline.settings.thresholds_of["nuclei"],
    )  # fmt: skip
    (path,) = (tmp_path / "a.zarr.work").glob("map-*/map")
    distance = zarr.open_array(path, mode="r")[:]
    labels = stored(result.labels)
    assert (whole.parameters.scale == 1) == (diameter is None)
    np.testing.assert_allclose(distance, whole.distance_map, atol=1e-5)
    if diameter is None:
        check(result, whole.labels, least=10)
    # A pixel that lies on a threshold but for rounding may change sides.
    assert evaluate(whole.labels, relabel(labels.astype(np.int64))).ap[0.95] == 1


def test_a_network_of_another_precision_is_another_plan():
    plans = [RemoteModel.named("nano", precision=name).described() for name in ("float32", "bfloat16")]
    assert plans[0] != plans[1]
    assert (
        "precision" not in RemoteModel.named("nano").described()
    )  # as work was named before it was a choice


# The files


def test_the_labels_are_an_ome_zarr_with_a_pyramid(tmp_path):
    ngff_zarr = pytest.importorskip("ngff_zarr")
    image = true_map((40, 1100))
    source = write_ome_zarr(tmp_path / "s.zarr", image, "yx", scale={"y": 0.25, "x": 0.25})
    result = finish(source, tmp_path / "a.zarr", ECHO, block=256)
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
    assert group["dinocell"]["counts"] == result.counts
    assert [path.name for path in tmp_path.iterdir() if "a.zarr" in path.name] == ["a.zarr"]


def test_tables_and_polygons_are_those_of_the_whole_image(tmp_path, image_file):
    shapely = pytest.importorskip("shapely")
    formats = ("parquet", "geoparquet", "geojson")
    result = finish(image_file, tmp_path / "a.zarr", ECHO, formats=formats, min_size=30)
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
        for part in sorted(result.beside[2].glob("part-*"))
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
    for part in result.beside[2].glob("part-*"):
        assert json.loads(part.read_text())["features"] == []


def test_an_image_smaller_than_a_tile(tmp_path):
    image = true_map((41, 52))
    tifffile.imwrite(tmp_path / "a.tif", image)
    check(finish(tmp_path / "a.tif", tmp_path / "a.zarr", ECHO, block=32), in_memory(image)[1], least=5)


def test_more_pixels_than_can_be_held_are_begun_with(tmp_path):
    source = write_ome_zarr(tmp_path / "s.zarr", np.zeros((1, 1), np.uint8), "yx", version="0.5")
    size = 50_000
    large = zarr.create_array(
        source / "0", shape=(size, size), chunks=(512, 512), dtype="uint8", overwrite=True
    )
    large[0, 0] = large[-1, -1] = 1  # no line at a side is constant
    running = events(source, tmp_path / "a.zarr", ECHO, block=512)
    first, *_, third, fourth = islice(running, 4)
    running.close()
    assert first == StageDone("field", 0, 1)
    assert third == StageDone("statistics/1", 0, 98**2)
    assert fourth.done == 1


def test_an_image_that_would_take_months_is_refused(tmp_path):
    source = write_ome_zarr(tmp_path / "s.zarr", np.zeros((1, 1), np.uint8), "yx", version="0.5")
    zarr.create_array(source / "0", shape=(2**22, 2**22), chunks=(512, 512), dtype="uint8", overwrite=True)
    with pytest.raises(
        InputError, match=r"which are 67108864 blocks of 512, expected at most 1048576: cut it"
    ):
        next(events(source, tmp_path / "a.zarr", ECHO, block=512))
    assert not (tmp_path / "a.zarr.work").exists()


def test_a_setting_that_is_out_of_bounds_is_told():
    for options, said in [
        ({"block": 8}, "block is 8, expected at least 16 pixels"),
        ({"scale": 0.0}, "scale is 0.0, expected a positive number"),
        ({"formats": ("parquet", "xls")}, "format 'xls' is unknown, expected some of parquet, geoparquet"),
    ]:
        with pytest.raises(InputError, match=said):
            large_settings(**options)
