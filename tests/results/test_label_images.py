"""Label images as TIFF, PNG and NumPy files: exact by every reader, and with their provenance."""

import json
import uuid
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import ome_types
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image as PillowImage

from dinocell.errors import InputError, OutputError
from dinocell.io.images import read_image, read_labels
from dinocell.io.saving import write_labels
from dinocell.measure.outlines import draw_outlines
from dinocell.results.label_images import write_label_npy, write_label_png
from dinocell.results.overlay import write_overlay
from tests.cases import CASES

PROVENANCE: dict[str, Any] = {"version": "1", "source": "Zélle <µ> & \"x'.tif\0\n", "{}": [1, None, 0.5]}
QUICK = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def labels_up_to(highest: int) -> NDArray[np.int32]:
    labels = np.zeros((5, 7), np.int32)
    labels[1, 1:4], labels[4, 6] = 1, highest
    return labels


def provenance_of_tiff(path: Path) -> Any:
    (comment,) = ome_types.from_tiff(path).structured_annotations.comment_annotations
    assert comment.namespace == "dinocell"
    return json.loads(comment.value)


# TIFF


@pytest.mark.parametrize("highest", [0, 255, 65535, 65536, 2**31 - 1])
@pytest.mark.parametrize("ignored", [False, True])
def test_ome_tiff_is_read_exactly_by_all(tmp_path: Path, highest: int, ignored: bool) -> None:
    labels = labels_up_to(highest)
    labels[0, 0] = -ignored
    file = tmp_path / "a.tif"
    write_labels(file, labels, pixel_size_um=0.325, provenance=PROVENANCE)
    np.testing.assert_array_equal(read_labels(file), labels)
    np.testing.assert_array_equal(tifffile.imread(file), labels)
    assert provenance_of_tiff(file) == PROVENANCE


@pytest.mark.parametrize("name", CASES)
def test_every_case_as_ome_tiff(tmp_path: Path, name: str) -> None:
    write_labels(tmp_path / "a.tif", CASES[name], pixel_size_um=1)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), CASES[name])


@pytest.mark.parametrize("size", [1e-5, 0.0123456789, 0.5, 3, 1e5])
def test_the_pixel_size_is_in_the_ome_xml_and_in_the_tags(tmp_path: Path, size: float) -> None:
    file = tmp_path / "a.tif"
    write_labels(file, labels_up_to(9), pixel_size_um=size)
    assert read_image(file).pixel_size_um == size
    pixels = ome_types.from_tiff(file).images[0].pixels
    assert (pixels.physical_size_x, pixels.physical_size_y) == (size, size)
    assert pixels.physical_size_x_unit.value == "µm"
    with tifffile.TiffFile(file) as tif:
        page = tif.pages.first
        assert page.resolutionunit == tifffile.RESUNIT.CENTIMETER
        assert page.resolution == pytest.approx((1e4 / size, 1e4 / size), rel=1e-6)


def test_pixels_that_are_not_square_keep_both_sides(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.tif", labels_up_to(9), pixel_size_um=(0.65, 0.325))
    assert read_image(tmp_path / "a.tif").pixel_size_yx_um == (0.65, 0.325)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.pages.first.resolution == pytest.approx((1e4 / 0.325, 1e4 / 0.65), rel=1e-6)
    with pytest.raises(InputError, match=r"pixel_size_um is \(0\.5, 0\.0\), expected 1e-5 to 1e5"):
        write_labels(tmp_path / "b.tif", labels_up_to(9), pixel_size_um=(0.5, 0.0))


def test_without_either_the_tiff_is_plain(tmp_path: Path) -> None:
    for provenance in (None, {}):
        write_labels(tmp_path / "a.tif", labels_up_to(9), provenance=provenance)
        with tifffile.TiffFile(tmp_path / "a.tif") as tif:
            assert not tif.is_ome
            assert "ImageDescription" not in tif.pages.first.tags


def test_provenance_alone_says_nothing_of_size(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.tif", labels_up_to(9), provenance=PROVENANCE)
    assert read_image(tmp_path / "a.tif").pixel_size_um is None


def test_the_same_input_gives_the_same_bytes_and_another_id_otherwise(tmp_path: Path) -> None:
    ids = []
    for name, labels, provenance in (("a", 9, {}), ("b", 9, {}), ("c", 8, {}), ("d", 9, {"x": 1})):
        file = tmp_path / f"{name}.tif"
        write_labels(file, labels_up_to(labels), pixel_size_um=0.5, provenance=provenance)
        ids.append(uuid.UUID(ome_types.from_tiff(file).uuid.removeprefix("urn:uuid:")))
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
    assert len(set(ids)) == 3


@pytest.mark.parametrize("size", [0, -1, float("nan"), float("inf"), 1e-6])
def test_pixel_sizes_that_are_refused(tmp_path: Path, size: float) -> None:
    with pytest.raises(InputError, match=r"pixel_size_um is .*, expected 1e-5 to 1e5 micrometres"):
        write_labels(tmp_path / "a.tif", labels_up_to(9), pixel_size_um=size)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [float("nan"), Path("a"), {1, 2}, np.float32(1)])
def test_provenance_that_json_cannot_hold(tmp_path: Path, value: Any) -> None:
    for write in (write_labels, write_label_png):
        with pytest.raises(InputError, match=r"the provenance cannot be stored .*expected texts, finite"):
            write(tmp_path / "a.tif", labels_up_to(9), provenance={"x": value})
    assert not list(tmp_path.iterdir())


# PNG


@QUICK
@given(
    labels=hnp.arrays(
        np.int32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
        elements=st.one_of(st.integers(0, 9), st.integers(250, 260), st.integers(0, 65535)),
    )
)
def test_png_round_trip(tmp_path: Path, labels: NDArray[np.int32]) -> None:
    file = tmp_path / "a.png"
    write_label_png(file, labels, provenance=PROVENANCE)
    np.testing.assert_array_equal(read_labels(file), labels)
    np.testing.assert_array_equal(cv2.imread(str(file), cv2.IMREAD_UNCHANGED), labels)
    with PillowImage.open(file) as picture:
        np.testing.assert_array_equal(np.asarray(picture), labels)
        assert json.loads(picture.text["dinocell"]) == PROVENANCE


@pytest.mark.parametrize(("highest", "dtype"), [(255, "uint8"), (256, "uint16"), (65535, "uint16")])
def test_png_takes_the_smallest_type(tmp_path: Path, highest: int, dtype: str) -> None:
    write_label_png(tmp_path / "a.png", labels_up_to(highest))
    assert read_image(tmp_path / "a.png").pixels.dtype == dtype
    with PillowImage.open(tmp_path / "a.png") as picture:
        assert picture.text == {}


def test_png_refuses_what_it_cannot_hold(tmp_path: Path) -> None:
    ignored = labels_up_to(3)
    ignored[0, 0] = -1
    for labels, values in ((labels_up_to(65536), "0 to 65536"), (ignored, "-1 to 3")):
        with pytest.raises(InputError, match=rf"a\.png cannot hold values from {values}.*: write a TIFF"):
            write_label_png(tmp_path / "a.png", labels)
    with pytest.raises(InputError, match="expected at least one pixel"):
        write_label_png(tmp_path / "a.png", np.zeros((0, 3), int))
    assert not list(tmp_path.iterdir())


# NumPy


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool", ">i4"])
def test_npy_is_int32_without_pickle(tmp_path: Path, dtype: str) -> None:
    labels = labels_up_to(1).astype(dtype)
    write_label_npy(tmp_path / "a.npy", labels.T)
    loaded = np.load(tmp_path / "a.npy", allow_pickle=False)
    assert loaded.dtype == np.dtype("<i4")
    np.testing.assert_array_equal(loaded, labels.T)


def test_npy_keeps_ignored_pixels_and_the_highest_id(tmp_path: Path) -> None:
    labels = np.array([[-1, 2**31 - 1]])
    write_label_npy(tmp_path / "a.npy", labels)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), labels)
    with pytest.raises(InputError, match="labels has dtype float64"):
        write_label_npy(tmp_path / "b.npy", np.zeros((2, 2)))


# Overlay


def test_overlay_is_the_picture_and_says_how_it_was_made(tmp_path: Path) -> None:
    labels = CASES["nested"]
    picture = draw_outlines(np.full(labels.shape, 60, np.uint8), labels)
    write_overlay(tmp_path / "a.png", picture, provenance=PROVENANCE)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").pixels, picture)
    with PillowImage.open(tmp_path / "a.png") as opened:
        np.testing.assert_array_equal(np.asarray(opened), picture)
        assert json.loads(opened.text["dinocell"]) == PROVENANCE


@pytest.mark.parametrize("picture", [np.zeros((3, 4)), np.zeros((3, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_overlay_of_something_else(tmp_path: Path, picture: NDArray[Any]) -> None:
    with pytest.raises(InputError, match=r"a\.png cannot hold .*expected uint8 RGB"):
        write_overlay(tmp_path / "a.png", picture)


def test_nothing_is_left_where_writing_fails(tmp_path: Path) -> None:
    for write in (write_label_png, write_label_npy):
        with pytest.raises(OutputError, match="cannot be written"):
            write(tmp_path / "missing" / "a", labels_up_to(3))
    assert not list(tmp_path.iterdir())
