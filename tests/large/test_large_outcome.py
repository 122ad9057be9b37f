"""Nothing that is not ours is replaced or removed by a run on a large image."""

import os
import sys

import numpy as np
import pytest

from dinocell.errors import InputError, OutputError
from dinocell.postprocess.distance import labels_to_distance
from tests.cases import CASES
from tests.fakes.large_images import ECHO, check, in_memory, true_map, write_cells
from tests.fakes.large_networks import Echo, finish
from tests.fakes.zarr import write_ome_zarr


@pytest.fixture
def image(tmp_path):
    pixels = np.rint(255 * labels_to_distance(CASES["touching"])).astype(np.uint8)
    return write_ome_zarr(tmp_path / "image.zarr", pixels, "yx", version="0.5")


def tree(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "name", ["a.zarr/mine.txt", "a.zarr.work/mine.txt", "a_cells.parquet/mine.txt", "a_cells.parquet"]
)
def test_what_is_not_ours_is_refused_and_stays(image, tmp_path, name, overwrite):
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(OutputError, match=r"exists and (was not made by|is not a work folder)"):
        finish(image, tmp_path / "a.zarr", Echo(), overwrite=overwrite, formats=("parquet",))
    assert tree(tmp_path) == before


@pytest.mark.parametrize("output", [".", "labels.zarr", "0/deep.zarr"])
def test_labels_are_not_put_into_the_image(image, output):
    before = tree(image)
    with pytest.raises(OutputError, match="overlap"):
        finish(image, image / output, Echo(), overwrite=True)
    assert tree(image) == before


def test_the_image_behind_a_work_folder_that_is_a_link_stays(image, tmp_path):
    (tmp_path / "a.zarr.work").symlink_to(image)
    before = tree(image)
    with pytest.raises(OutputError, match="overlap"):
        finish(image, tmp_path / "a.zarr", Echo())
    assert tree(image) == before


def test_tables_of_labels_that_are_replaced_do_not_stay_beside_them(image, tmp_path):
    finish(image, tmp_path / "a.zarr", Echo(), formats=("parquet", "geojson"))
    assert (tmp_path / "a_polygons.geojson").is_dir()
    finish(image, tmp_path / "a.zarr", Echo(), formats=("parquet",), overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr", "a_cells.parquet", "image.zarr"]


def test_results_of_an_earlier_run_need_overwrite_to_be_replaced(image, tmp_path):
    finish(image, tmp_path / "a.zarr", Echo(), formats=("parquet",))
    before = tree(tmp_path)
    with pytest.raises(OutputError, match="made in another way"):
        finish(image, tmp_path / "a.zarr", Echo(), formats=("parquet",), min_size=5)
    assert tree(tmp_path) == before


class Broken(Echo):
    """A network whose maps are not numbers."""

    def predict_batches(self, gray, tiles):
        for batch in super().predict_batches(gray, tiles):
            yield batch * np.float32(np.nan)


def test_a_map_that_is_not_finite_is_told(image, tmp_path):
    with pytest.raises(InputError, match="map holds NaN"):
        finish(image, tmp_path / "a.zarr", Broken())
    assert not (tmp_path / "a.zarr").exists()


def test_nonfinite_pixels_are_counted(tmp_path):
    pixels = np.random.default_rng(0).random((70, 90)).astype(np.float32)
    pixels[3:5, 7] = np.nan
    image = write_ome_zarr(tmp_path / "image.zarr", pixels, "yx", version="0.5")
    assert finish(image, tmp_path / "a.zarr", Echo()).nonfinite == 2


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_an_image_whose_name_is_no_unicode_is_segmented(tmp_path):
    image = write_cells(tmp_path / os.fsdecode(b"bad\xff.zarr"))
    check(finish(image, tmp_path / "a.zarr", ECHO, formats=("parquet",)), in_memory(true_map())[1])
