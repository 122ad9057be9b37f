"""Layers hold what the files hold; no window is needed."""

import numpy as np
import pytest
import tifffile

import dinocell
from dinocell.io.saving import write_labels
from dinocell.napari import reading, samples
from dinocell.napari.origins import origin_of
from dinocell.napari.reading import find_layer_reader, read_layers
from dinocell.napari.writing import write_layer
from tests import cases


def write_stack(path, pixels, axes, **metadata):
    tifffile.imwrite(path, pixels, ome=True, photometric="minisblack", metadata={"axes": axes, **metadata})
    return str(path)


def pixels_of(*shape, dtype=np.uint16):
    return np.random.default_rng(0).integers(0, 1000, shape).astype(dtype)


def test_a_plain_image_is_one_layer():
    ((data, options, kind),) = samples.open_phase_1()
    origin = origin_of(options["metadata"])
    np.testing.assert_array_equal(data, dinocell.read_image(origin.path).pixels)
    assert (kind, options["rgb"], options["scale"], options["units"]) == (
        "image",
        False,
        [1, 1],
        ["pixel"] * 2,
    )


def test_colours_stay_one_layer():
    ((data, options, kind),) = samples.open_histology_1()
    assert (kind, options["rgb"], data.shape[2]) == ("image", True, 3)


def test_channels_become_layers_of_a_stack_with_its_steps(tmp_path):
    pixels = pixels_of(3, 2, 4, 40, 50)
    names = {"Channel": {"Name": ["DAPI", "actin"]}}
    sizes = {"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0, "TimeIncrement": 30.0}
    units = {f"PhysicalSize{axis}Unit": "µm" for axis in "XYZ"} | {"TimeIncrementUnit": "s"}
    path = write_stack(tmp_path / "a.ome.tif", pixels, "TCZYX", **names, **sizes, **units)
    layers = read_layers(path)
    assert [options["name"] for _, options, _ in layers] == ["a DAPI", "a actin"]
    for channel, (data, options, kind) in enumerate(layers):
        np.testing.assert_array_equal(data, pixels[:, channel])
        assert kind == "image"
        assert options["scale"] == [30.0, 2.0, 0.5, 0.25]
        assert options["units"] == ["second", "micrometer", "micrometer", "micrometer"]
        origin = origin_of(options["metadata"])
        assert (origin.axes, origin.channel, origin.place_of((2, 3))) == ("TZ", channel, (2, 3))


def test_large_stacks_are_read_as_they_are_shown(tmp_path, monkeypatch):
    pixels = pixels_of(5, 40, 50)
    path = write_stack(tmp_path / "a.tif", pixels, "ZYX")
    monkeypatch.setattr(reading, "EAGER_BYTES", 100)
    ((data, options, _),) = read_layers(path)
    assert not isinstance(data, np.ndarray)
    assert data.chunks[0] == (1,) * 5
    np.testing.assert_array_equal(np.asarray(data), pixels)
    assert not options["multiscale"]


def test_large_planes_get_coarser_levels(tmp_path, monkeypatch):
    pixels = pixels_of(256, 320)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, tile=(64, 64))
    for name, value in (("EAGER_BYTES", 100), ("LARGE_SIDE", 200), ("_WINDOW", 128)):
        monkeypatch.setattr(reading, name, value)
    ((levels, options, _),) = read_layers(str(path))
    assert options["multiscale"]
    assert [level.shape for level in levels] == [(256, 320), (128, 160), (64, 80)]
    assert levels[0].chunks == ((128, 128), (128, 128, 64))
    np.testing.assert_array_equal(np.asarray(levels[0]), pixels)
    np.testing.assert_array_equal(np.asarray(levels[1]), pixels[::2, ::2])


def test_labels_become_labels_and_come_back_as_written(tmp_path):
    labels = cases.CASES["touching"]
    write_labels(tmp_path / "a_labels.tif", labels, pixel_size_um=0.5)
    ((data, options, kind),) = read_layers(str(tmp_path / "a_labels.tif"))
    assert kind == "labels"
    np.testing.assert_array_equal(data, labels)
    (path,) = write_layer(str(tmp_path / "b_labels.tif"), data, options)
    np.testing.assert_array_equal(dinocell.read_labels(path), labels)
    assert dinocell.read_image(path).pixel_size_um == 0.5


@pytest.mark.parametrize(("shape", "expected"), [((3, 20, 30), (3, 1)), ((3, 2, 20, 30), (3, 2))])
def test_stacks_of_labels_are_written_plane_by_plane(tmp_path, shape, expected):
    labels = pixels_of(*shape, dtype=np.int32)
    (path,) = write_layer(str(tmp_path / "a_labels.tif"), labels, {})
    with dinocell.open_image(path) as image:
        assert (image.info.shape[0], image.info.shape[2]) == expected
    ((data, _, kind),) = read_layers(path)
    assert kind == "labels"
    np.testing.assert_array_equal(data, labels)


def test_a_stack_along_z_stays_along_z(tmp_path):
    (path,) = write_layer(
        str(tmp_path / "a_labels.tif"), np.ones((4, 9, 9), np.int32), {"axis_labels": ("z", "y", "x")}
    )
    with dinocell.open_image(path) as image:
        assert image.info.shape == (1, 1, 4, 9, 9)


def test_labels_of_five_axes_are_refused_in_one_line(tmp_path):
    with pytest.raises(dinocell.DINOCellError, match=r"expected times, slices, Y, X"):
        write_layer(str(tmp_path / "a.tif"), np.ones((2, 2, 2, 9, 9), np.int32), {})


def test_what_cannot_be_read_is_left_to_others(tmp_path):
    (tmp_path / "a.tif").write_text("no image")
    assert find_layer_reader(str(tmp_path / "a.tif")) is None
    assert find_layer_reader(str(tmp_path / "missing.tif")) is None
    assert find_layer_reader([str(tmp_path / "a.tif")]) is None


def test_several_files_are_read_one_after_the_other(tmp_path):
    paths = [str(tmp_path / name) for name in ("a.tif", "b.tif")]
    for path in paths:
        tifffile.imwrite(path, pixels_of(20, 30))
    assert [options["name"] for _, options, _ in find_layer_reader(paths)(paths)] == ["a", "b"]
