"""Labels of planes are those of `segment`, bit for bit; no window is needed."""

import dask.array as da
import numpy as np
import pytest
import zarr

import dinocell
from dinocell.errors import DINOCellError
from dinocell.inference.fast import samples_folder
from dinocell.napari import sessions
from dinocell.napari.reading import read_layers
from dinocell.napari.sessions import Session, flood_again, load_pipeline, measure_plane, segment_planes
from dinocell.napari.sources import describe_layer
from dinocell.postprocess.thresholds import Thresholds
from tests.napari.layers import FakeLayer


@pytest.fixture(scope="module")
def pipeline():
    return load_pipeline("nano")


def sample(name):
    return dinocell.read_image(samples_folder() / f"{name}_img.png").pixels


def session_of(pipeline, data, **attributes):
    return Session(describe_layer(FakeLayer(data, **attributes)), pipeline, {"target": "auto"})


def labels_of(session):
    return [found.labels for found in segment_planes(session, session.image.indices())]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["phase_1", "phase_2", "fluorescence_1", "fluorescence_2"])
def test_gray_samples_get_the_labels_of_segment(pipeline, name):
    pixels = sample(name)
    (found,) = segment_planes(session_of(pipeline, pixels), [()])
    expected = dinocell.segment(pixels)
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.prediction.distance_map, expected.distance_map)
    for column, values in expected.table().items():
        np.testing.assert_array_equal(found.table[column], values)


@pytest.mark.slow
def test_the_sample_in_colour_gets_the_labels_of_segment(pipeline):
    pixels = sample("histology_1")
    (labels,) = labels_of(session_of(pipeline, pixels, rgb=True))
    np.testing.assert_array_equal(labels, dinocell.segment(pixels).labels)


def as_zarr(array):
    stored = zarr.create_array({}, shape=array.shape, dtype=array.dtype, chunks=(1, 100, 100))
    stored[:] = array
    return stored


@pytest.mark.slow
@pytest.mark.parametrize("kind", [np.asarray, lambda array: da.from_array(array, (1, 100, 128)), as_zarr])
def test_stacks_of_any_array_get_the_labels_of_each_plane(pipeline, kind):
    first = sample("fluorescence_1")
    stack = np.stack([first, first[::-1]])
    session = session_of(pipeline, kind(stack))
    assert session.image.indices() == [(0,), (1,)]
    for labels, plane in zip(labels_of(session), stack, strict=True):
        np.testing.assert_array_equal(labels, dinocell.segment(plane).labels)


def test_axes_before_the_plane_may_be_many():
    image = describe_layer(FakeLayer(np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)))
    assert (image.counts, image.plane_shape, len(image.indices())) == ((2, 3), (4, 5), 6)
    np.testing.assert_array_equal(image.read((1, 2)).pixels, image.levels[0][1, 2])


def test_cells_are_measured_in_all_channels_of_their_file(tmp_path):
    import tifffile

    pixels = np.random.default_rng(0).integers(0, 99, (2, 30, 40)).astype(np.uint8)
    path = tmp_path / "a.ome.tif"
    names = {"axes": "CYX", "Channel": {"Name": ["DAPI", "actin"]}}
    tifffile.imwrite(path, pixels, ome=True, photometric="minisblack", metadata=names)
    layers = [
        FakeLayer(data, name=options["name"], metadata=options["metadata"])
        for data, options, _ in read_layers(str(path))
    ]
    source = describe_layer(layers[1], layers).read(())
    assert list(source.channels) == ["DAPI", "actin"]
    np.testing.assert_array_equal(source.channels["DAPI"], pixels[0])
    np.testing.assert_array_equal(source.pixels, pixels[1])
    assert not describe_layer(layers[1], layers[1:]).channels


@pytest.mark.slow
def test_flooding_again_is_segmenting_with_other_thresholds(pipeline):
    pixels = sample("phase_2")
    session = session_of(pipeline, pixels)
    (found,) = segment_planes(session, [()])
    session.keep(found)
    chosen = session.thresholds().replaced(merge=0.95, cells_max_threshold=0.3, cell_fill_threshold=0.2)
    again = measure_plane(session, flood_again(session, found, chosen))
    expected = dinocell.segment(pixels, thresholds=chosen)
    assert expected.count != found.labels.max()
    np.testing.assert_array_equal(again.labels, expected.labels)
    assert again.parameters.recorded() == expected.parameters.recorded()
    for column, values in expected.table().items():
        np.testing.assert_array_equal(again.table[column], values)
    back = flood_again(session, again, session.own_thresholds())
    np.testing.assert_array_equal(back.labels, found.labels)


@pytest.mark.slow
def test_maps_are_kept_only_while_there_is_room(pipeline, monkeypatch):
    pixels = np.stack([sample("fluorescence_1")] * 3)
    session = session_of(pipeline, pixels)
    monkeypatch.setattr(sessions, "most_map_bytes", lambda: 2 * pixels[0].size * 4)
    for found in segment_planes(session, session.image.indices()):
        session.keep(found)
    assert session.adjustable == [(0,), (1,)]
    assert flood_again(session, session.planes[2,], Thresholds()) is session.planes[2,]
    session.edited.add((0,))
    assert session.adjustable == [(1,)]


def test_progress_may_end_the_work_after_one_tile(pipeline):
    class EndError(Exception):
        pass

    seen = []

    def stop(event):
        seen.append(event)
        raise EndError

    session = session_of(pipeline, np.zeros((1200, 1200), np.uint8))
    with pytest.raises(EndError):
        list(segment_planes(session, [()], stop))
    assert [event.done for event in seen] == [1]


def test_what_is_not_an_image_is_refused_in_one_line(pipeline):
    session = session_of(pipeline, np.zeros((9, 9), complex))
    with pytest.raises(DINOCellError) as error:
        list(segment_planes(session, [()]))
    assert "\n" not in str(error.value)
