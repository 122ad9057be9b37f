"""Files of a layer are those of `segment`; no window is needed."""

import json

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

import dinocell
from dinocell.cli import app
from dinocell.errors import DINOCellError
from dinocell.inference.fast import samples_folder
from dinocell.napari.exporting import Cells, Export, export_cells, formats_for
from dinocell.napari.origins import Origin
from dinocell.napari.reading import read_layers
from dinocell.napari.sessions import Session, load_pipeline, segment_planes
from dinocell.napari.sources import describe_layer
from dinocell.results.formats import PLANE_FORMATS
from tests.napari.layers import FakeLayer

SAMPLE = samples_folder() / "fluorescence_1_img.png"


def cells_of(path):
    """Return the cells of an image file, segmented here."""
    ((data, options, _),) = read_layers(str(path))
    image = describe_layer(FakeLayer(data, metadata=options["metadata"]))
    session = Session(image, load_pipeline("nano"), {})
    labels = np.zeros(data.shape, np.int32)
    for found in segment_planes(session, image.indices()):
        session.keep(found)
        labels[found.index] = found.labels
    return Cells(image, labels, session)


@pytest.mark.slow
def test_every_format_has_what_segment_writes(tmp_path):
    cells = cells_of(SAMPLE)
    formats = tuple(name for name in formats_for(cells) if name != "zarr")
    assert set(formats) == PLANE_FORMATS.keys() - {"zarr"}
    files = export_cells(Export(cells, tmp_path / "ours", formats))
    done = CliRunner().invoke(
        app, ["segment", str(SAMPLE), "-o", str(tmp_path / "theirs"), "--format", ",".join(formats)]
    )
    assert done.exit_code == 0, done.output
    assert len(files) == len(formats)
    for file in files:
        other = tmp_path / "theirs" / file.name
        assert other.exists(), file.name
        if file.suffix in {".csv", ".npy"}:
            assert file.read_bytes() == other.read_bytes(), file.name
        if file.suffix == ".png":
            np.testing.assert_array_equal(dinocell.read_image(file).pixels, dinocell.read_image(other).pixels)
    np.testing.assert_array_equal(
        dinocell.read_labels(tmp_path / "ours" / "fluorescence_1_img_labels.tif"), cells.labels
    )


@pytest.mark.slow
def test_a_stack_has_one_file_of_a_format(tmp_path):
    pixels = np.stack([dinocell.read_image(SAMPLE).pixels] * 3)
    tifffile.imwrite(tmp_path / "a.tif", pixels, metadata={"axes": "ZYX"}, imagej=True)
    cells = cells_of(tmp_path / "a.tif")
    files = export_cells(Export(cells, tmp_path / "out", ("csv", "tif", "geojson")))
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert {path.name for path in files} == set(names)
    assert {"a_cells.csv", "a_labels.tif"} <= set(names)
    with dinocell.open_image(tmp_path / "out" / "a_labels.tif") as image:
        assert image.info.shape[:3] == (1, 1, 3)
    header = (tmp_path / "out" / "a_cells.csv").read_text().splitlines()[0]
    assert header.startswith("t,z,label")
    cells.session.planes.pop((1,))
    files = export_cells(Export(cells, tmp_path / "some", ("tif",)))
    assert [path.name for path in files] == ["a_z000_labels.tif", "a_z002_labels.tif"]


def plain(labels, **attributes):
    return Cells(describe_layer(FakeLayer(np.zeros(labels.shape), **attributes)), labels)


def test_labels_of_another_tool_are_written_and_ids_become_consecutive(tmp_path):
    labels = np.zeros((20, 30), np.int64)
    labels[2:5, 3:6], labels[10:15, 10:20] = 7, 300
    cells = plain(labels)
    assert "distance" not in formats_for(cells)
    assert "zarr" not in formats_for(cells)
    files = export_cells(Export(cells, tmp_path, ("tif", "csv")))
    assert [path.name for path in files] == ["image_labels.tif", "image_cells.csv"]
    assert set(np.unique(dinocell.read_labels(files[0]))) == {0, 1, 2}
    assert list(cells.table(())["label"]) == [7, 300]
    assert list(cells.table(())["area"]) == [9, 50]


def test_a_file_that_exists_is_replaced_only_when_that_is_asked_for(tmp_path):
    cells = plain(np.eye(9, dtype=np.int32))
    export_cells(Export(cells, tmp_path, ("npy",)))
    with pytest.raises(DINOCellError, match="tick Replace"):
        export_cells(Export(cells, tmp_path, ("npy",)))
    export_cells(Export(cells, tmp_path, ("npy",), overwrite=True))


def test_labels_that_do_not_fit_are_refused_in_one_line():
    image = describe_layer(FakeLayer(np.zeros((9, 9))))
    with pytest.raises(DINOCellError, match=r"\(9, 8\), but image 'image' has \(9, 9\)"):
        Cells(image, np.zeros((9, 8), np.int32))


def test_no_format_is_refused(tmp_path):
    with pytest.raises(DINOCellError, match="tick one"):
        export_cells(Export(plain(np.eye(9, dtype=np.int32)), tmp_path, ()))


@pytest.mark.parametrize(
    ("counts", "name", "expected"), [((3,), "t", (3, 1)), ((3,), "z", (1, 3)), ((2, 3), "t", (2, 3))]
)
def test_axes_are_times_and_slices(counts, name, expected):
    from dinocell.napari.origins import axes_of

    axes = axes_of(counts, (name, "z")[: len(counts)], None)
    assert (axes.times, axes.slices) == expected


def test_the_mark_of_an_edit_is_recorded(tmp_path):
    cells = plain(np.eye(9, dtype=np.int32))
    session = Session(cells.image, None, {})
    session.edited.add(())
    edited = Cells(cells.image, cells.labels, session)
    assert edited.plane(()).provenance["edited"] is True


def test_a_plane_of_a_file_keeps_its_place():
    from pathlib import Path

    origin = Origin(Path("/data/a.tif"), scene=2, kind="TIFF", axes="TZ", counts=(2, 1, 3))
    layer = FakeLayer(np.zeros((2, 3, 9, 9)), metadata={"dinocell": origin})
    cells = Cells(describe_layer(layer), np.zeros((2, 3, 9, 9), np.int32))
    plane = cells.plane((1, 2))
    assert (plane.scene, plane.t, plane.z, plane.source) == (2, 1, 2, origin.path)
    assert json.dumps(plane.provenance)
