"""Stacks of planes as TIFF, read back by tifffile and by our own readers."""

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from dinocell.io.images import open_image
from dinocell.io.stacks import StackAxes, write_stack

KINDS = (np.uint8, np.uint16, np.uint32, np.float32)


@given(
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from(KINDS),
    st.booleans(),
)
def test_planes_come_back_with_their_axes(tmp_path_factory, times, slices, height, width, kind, coloured):
    path = tmp_path_factory.mktemp("stack") / "a.tif"
    plane = (height, width, 3) if coloured and kind is np.uint8 else (height, width)
    rng = np.random.default_rng(height * width)
    pixels = rng.integers(0, 200, (times, slices, *plane)).astype(kind)
    axes = StackAxes(times, slices, (0.5, 0.25), 2.0, 60.0)
    planes = (pixels[t, z] for t in range(times) for z in range(slices))
    write_stack(
        path, planes, axes, plane_shape=plane, dtype=np.dtype(kind), name="labels", provenance={"a": 1}
    )
    with open_image(path) as image:
        assert image.info.shape == (times, 1, slices, height, width)
        assert image.info.pixel_size_yx_um == (0.5, 0.25)
        assert image.info.z_step_um == (2.0 if slices > 1 else None)
        for t, z in np.ndindex(times, slices):
            assert np.array_equal(image.read_plane(t, 0, z), pixels[t, z])
    with tifffile.TiffFile(path) as file:
        assert np.array_equal(file.asarray().reshape(pixels.shape), pixels)
        assert '"a": 1' in tifffile.xml2dict(file.ome_metadata)["OME"]["StructuredAnnotations"][
            "CommentAnnotation"
        ]["Value"].replace("&quot;", '"')


def test_the_same_planes_give_the_same_bytes(tmp_path):
    pixels, axes = np.arange(60, dtype=np.uint16).reshape(3, 4, 5), StackAxes(3, 1)
    for name in ("a", "b"):
        write_stack(tmp_path / name, pixels, axes, plane_shape=(4, 5), dtype=pixels.dtype, name="labels")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("kind", [np.uint16, np.uint32])
def test_imagej_has_its_own_axes_where_it_can_hold_the_ids(tmp_path, kind):
    pixels = np.zeros((5, 4, 6), kind)
    write_stack(
        tmp_path / "a.tif", pixels, StackAxes(5, 1), plane_shape=(4, 6), dtype=pixels.dtype, name="labels"
    )
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.is_ome
        assert file.series[0].axes == "TYX"
        found = file.imagej_metadata
    assert (found["frames"] if found else None) == (5 if kind is np.uint16 else None)


def test_a_stack_of_many_gigabytes_is_a_bigtiff(tmp_path, monkeypatch):
    monkeypatch.setattr("dinocell.io.stacks._CLASSIC", 100)
    pixels = np.arange(120, dtype=np.uint16).reshape(5, 4, 6)
    axes = StackAxes(1, 5, (0.5, 0.25))
    write_stack(tmp_path / "a.tif", pixels, axes, plane_shape=(4, 6), dtype=pixels.dtype, name="labels")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.is_bigtiff
        assert file.series[0].axes == "ZYX"
        assert np.array_equal(file.asarray(), pixels)
    with open_image(tmp_path / "a.tif") as image:
        assert image.info.pixel_size_yx_um == (0.5, 0.25)
