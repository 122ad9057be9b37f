"""Cells as ROI sets of ImageJ: what roifile reads, what people draw, and what damage gives."""

import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roifile
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dinocell.errors import DINOCellError, FileFormatError, FileMissingError, InputError, OutputError
from dinocell.results.imagej_import import read_imagej_rois
from dinocell.results.imagej_rois import stack_place, write_imagej_rois
from tests.cases import CASES, disk
from tests.measure.test_polygons import drawn_by_shapely, label_images, ring_with_guest

KIND = roifile.ROI_TYPE
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PROVENANCE = {"source": "Zélle.tif", "thresholds": [0.5, None]}


def shape_of(roi: roifile.ImagejRoi) -> Any:
    """Return what a ROI encloses, by the even-odd rule."""
    whole = shapely.Polygon()
    for ring in roi.coordinates(multi=True):
        whole = whole.symmetric_difference(shapely.Polygon(ring))
    return whole


def check(path: Path, labels: NDArray[Any]) -> None:
    write_imagej_rois(path, labels)
    rois = roifile.roiread(path)
    cells = np.maximum(labels, 0)
    assert [int(roi.name) for roi in rois] == np.unique(cells[cells > 0]).tolist()
    shapes = {int(roi.name): shape_of(roi) for roi in rois}
    np.testing.assert_array_equal(drawn_by_shapely(shapes, labels.shape), cells)
    np.testing.assert_array_equal(read_imagej_rois(path, labels.shape), cells)


def save(path: Path, *rois: roifile.ImagejRoi) -> Path:
    """Write ROIs as ImageJ does: one alone, several as a set."""
    if path.suffix == ".roi":
        path.write_bytes(rois[0].tobytes())
        return path
    with zipfile.ZipFile(path, "w") as file:
        for number, roi in enumerate(rois):
            file.writestr(f"{number:04}-{roi.name}.roi", roi.tobytes())
    return path


def roi_of(kind: int, left: int, top: int, right: int, bottom: int, **options: Any) -> roifile.ImagejRoi:
    return roifile.ImagejRoi(roitype=KIND(kind), left=left, top=top, right=right, bottom=bottom, **options)


def polygon(kind: int, points: list[tuple[float, float]], **options: Any) -> roifile.ImagejRoi:
    roi = roifile.ImagejRoi.frompoints(np.array(points))
    roi.roitype = KIND(kind)
    for name, value in options.items():
        setattr(roi, name, value)
    return roi


@pytest.mark.parametrize("name", CASES)
def test_named_cases_are_exact_by_roifile_and_by_us(tmp_path: Path, name: str) -> None:
    check(tmp_path / "a.zip", CASES[name] * 7)


@QUICK
@given(labels=label_images)
def test_any_labels_are_exact(tmp_path: Path, labels: NDArray[np.int32]) -> None:
    check(tmp_path / "a.zip", labels)


def test_a_ring_and_its_guest_by_hand(tmp_path: Path) -> None:
    labels = ring_with_guest()
    labels[6, 7] = 2
    write_imagej_rois(tmp_path / "a.zip", labels, channel=3, z=4, t=5)
    single, ring, guest = roifile.roiread(tmp_path / "a.zip")
    assert (single.roitype, single.composite) == (KIND.TRACED, False)
    assert single.coordinates().tolist() == [[7, 6], [8, 6], [8, 7], [7, 7]]
    assert (single.left, single.top, single.right, single.bottom) == (7, 6, 8, 7)
    for roi, count in ((ring, 2), (guest, 2)):
        assert (roi.roitype, roi.composite) == (KIND.RECT, True)
        assert len(roi.coordinates(multi=True)) == count
    assert (ring.left, ring.top, ring.right, ring.bottom) == (1, 1, 6, 6)
    for roi in (single, ring, guest):
        assert (roi.position, roi.c_position, roi.z_position, roi.t_position) == (0, 3, 4, 5)


@pytest.mark.parametrize(
    ("counts", "t", "z", "plain", "expected"),
    [
        ((1, 1, 1), 0, 0, False, (0, 0, 0)),
        ((1, 3, 1), 0, 0, False, (0, 0, 0)),  # channels alone: the cells are in all of them
        ((1, 1, 3), 0, 1, False, (2, 0, 0)),  # slices alone are a plain stack
        ((4, 1, 1), 3, 0, False, (4, 0, 0)),
        ((4, 1, 1), 3, None, False, (4, 0, 0)),
        ((1, 1, 3), 0, None, False, (0, 0, 0)),  # a projection is on no slice
        ((4, 1, 3), 2, 1, False, (0, 2, 3)),
        ((4, 1, 3), 2, None, False, (0, 0, 3)),
        ((1, 2, 3), 0, 1, False, (0, 2, 1)),
        ((4, 1, 3), 2, 1, True, (8, 0, 0)),
        ((4, 2, 3), 2, 1, True, (0, 0, 0)),  # no channel is known, so no page
    ],
)
def test_cells_stay_on_their_slice(
    tmp_path: Path,
    counts: tuple[int, int, int],
    t: int,
    z: int | None,
    plain: bool,
    expected: tuple[int, int, int],
) -> None:
    """Check that ImageJ would go by the position in the header, unless there is a place in a hyperstack."""
    write_imagej_rois(tmp_path / "a.zip", CASES["nested"], **stack_place(counts, t, z, plain=plain))
    for roi in roifile.roiread(tmp_path / "a.zip"):
        assert (roi.position, roi.z_position, roi.t_position) == expected
        assert roi.c_position == 0


def test_a_set_has_a_comment_and_the_same_bytes_again(tmp_path: Path) -> None:
    for name in "ab":
        write_imagej_rois(tmp_path / f"{name}.zip", CASES["nested"], provenance=PROVENANCE)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as file:
        assert json.loads(file.comment) == PROVENANCE
        assert file.namelist() == ["1.roi", "2.roi"]
        assert {entry.date_time for entry in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}


@pytest.mark.parametrize("start", [32760, 60530, 60533, 60534, 65530, 69990])
def test_cells_far_to_the_right(tmp_path: Path, start: int) -> None:
    labels = np.zeros((3, 70_000), np.int32)
    labels[1, start : start + 3] = 1
    check(tmp_path / "a.zip", labels)
    check(tmp_path / "b.zip", labels.T)


def test_cells_of_very_many_corners(tmp_path: Path) -> None:
    labels = np.zeros((2, 40_000), np.int32)
    labels[0] = 1
    labels[1, ::2] = 1
    write_imagej_rois(tmp_path / "a.zip", labels)
    (roi,) = roifile.roiread(tmp_path / "a.zip")
    # 4 corners a tooth, less one on the left side, and 3 of the bar above; 16 bits do not count so far.
    assert roi.n_coordinates == 4 * 20_000 - 1 + 3
    np.testing.assert_array_equal(read_imagej_rois(tmp_path / "a.zip", labels.shape), labels)


def test_what_cannot_be_written(tmp_path: Path) -> None:
    labels = CASES["one"]
    with pytest.raises(InputError, match=r"a\.zip cannot hold a provenance of 70\d+ bytes, expected at most"):
        write_imagej_rois(tmp_path / "a.zip", labels, provenance={"x": "y" * 70_000})
    with pytest.raises(InputError, match="the provenance cannot be stored"):
        write_imagej_rois(tmp_path / "a.zip", labels, provenance={"x": float("nan")})
    with pytest.raises(OutputError, match="cannot be written"):
        write_imagej_rois(tmp_path / "missing" / "a.zip", labels)
    assert not list(tmp_path.iterdir())


# What people draw


def test_a_rectangle_and_one_between_pixels(tmp_path: Path) -> None:
    between = roi_of(KIND.RECT, 0, 0, 9, 9, xd=0.6, yd=0.4, widthd=2.0, heightd=1.0)
    between.options = roifile.ROI_OPTIONS.SUB_PIXEL_RESOLUTION
    assert read_imagej_rois(save(tmp_path / "a.roi", roi_of(KIND.RECT, 1, 0, 3, 2)), (3, 4)).tolist() == [
        [0, 1, 1, 0],
        [0, 1, 1, 0],
        [0, 0, 0, 0],
    ]
    # x in [0.6, 2.6) holds the centres 1.5 and 2.5, y in [0.4, 1.4) that of row 0.
    assert read_imagej_rois(save(tmp_path / "b.roi", between), (3, 4)).tolist() == [
        [0, 1, 1, 0],
        [0, 0, 0, 0],
        [0, 0, 0, 0],
    ]


def test_an_oval_holds_the_centres_within_its_ellipse(tmp_path: Path) -> None:
    labels = read_imagej_rois(save(tmp_path / "a.roi", roi_of(KIND.OVAL, 3, 4, 28, 33)), (40, 30))
    y, x = np.mgrid[:40, :30] + 0.5
    inside = ((x - 15.5) / 12.5) ** 2 + ((y - 18.5) / 14.5) ** 2
    on_the_edge = np.abs(inside - 1) < 1e-3
    np.testing.assert_array_equal(labels[~on_the_edge], inside[~on_the_edge] < 1)
    assert labels.any()


@pytest.mark.parametrize("kind", [KIND.POLYGON, KIND.FREEHAND, KIND.TRACED])
def test_outlines_of_whole_and_of_broken_numbers(tmp_path: Path, kind: int) -> None:
    for shift in (0, 0.2):
        points = [(1 + shift, 1), (4 + shift, 1), (4 + shift, 3), (1 + shift, 3)]
        labels = read_imagej_rois(save(tmp_path / "a.roi", polygon(kind, points)), (4, 5))
        assert labels.sum() == 6
        assert (labels[1:3, 1:4] == 1).all()


def test_a_composite_with_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A circle of radius 20 around (30, 25) as four cubic curves; its hole is a line and a quadratic curve.
    k, x, y, r = 0.5522847498 * 20, 30.0, 25.0, 20.0
    path = [
        *(0, x + r, y),
        *(3, x + r, y + k, x + k, y + r, x, y + r), *(3, x - k, y + r, x - r, y + k, x - r, y),
        *(3, x - r, y - k, x - k, y - r, x, y - r), *(3, x + k, y - r, x + r, y - k, x + r, y), 4,
        *(0, 20, 25), *(1, 40, 25), *(2, 30, 35, 20, 25), 4,
    ]  # fmt: skip
    roi = roi_of(KIND.RECT, 10, 5, 50, 45, shape_roi_size=len(path))
    roi.multi_coordinates = np.array(path, np.float32)
    got = read_imagej_rois(save(tmp_path / "a.zip", roi), (50, 60)) > 0
    circle = disk((50, 60), (24.5, 29.5), 20)
    rows, columns = np.mgrid[:50, :60] + 0.5
    # Between the line y = 25 and the parabola that leaves it by 5 at most.
    hole = (rows > 25) & (rows < 25 + 5 * (1 - ((columns - 30) / 10) ** 2))
    expected = circle & ~hole
    assert np.count_nonzero(got != expected) <= 0.01 * np.count_nonzero(expected)
    assert not got[26:29, 28:32].any()
    monkeypatch.setattr("dinocell.results.imagej_import._MAX_CURVES", 4)  # it has five
    with pytest.raises(FileFormatError, match="a path of more than 4 curves"):
        read_imagej_rois(tmp_path / "a.zip", (50, 60))


def test_ids_by_name_else_in_order(tmp_path: Path) -> None:
    def read(*names: str) -> list[int]:
        rois = [roi_of(KIND.RECT, n, 0, n + 1, 1, name=name) for n, name in enumerate(names)]
        return read_imagej_rois(save(tmp_path / "a.zip", *rois), (1, len(names)))[0].tolist()

    assert read("12", "4") == [12, 4]
    assert read("12", "0004-0012") == [1, 2]
    assert read("5", "5") == [1, 2]
    single = save(tmp_path / "7.roi", roi_of(KIND.RECT, 0, 0, 1, 1))
    assert read_imagej_rois(single, (1, 2)).tolist() == [[1, 0]]


def test_the_later_roi_wins_and_the_rest_of_a_folder_is_left(tmp_path: Path) -> None:
    file = save(tmp_path / "a.zip", roi_of(KIND.RECT, 0, 0, 2, 1), roi_of(KIND.RECT, 1, 0, 9, 1))
    with zipfile.ZipFile(file, "a") as opened:
        opened.writestr("notes.txt", "hello")
        opened.writestr("__MACOSX/._0000.roi", "hello")
    assert read_imagej_rois(file, (1, 4)).tolist() == [[1, 2, 2, 2]]


def test_several_planes_are_not_flattened(tmp_path: Path) -> None:
    everywhere = roi_of(KIND.RECT, 0, 0, 1, 1)
    for position in ("position", "z_position", "t_position"):
        first, second = (roi_of(KIND.RECT, 1, 0, 2, 1, **{position: number}) for number in (1, 2))
        assert read_imagej_rois(save(tmp_path / "a.zip", everywhere, first), (1, 2)).tolist() == [[1, 2]]
        with pytest.raises(InputError, match=r"a\.zip has ROIs on several slices or times, expected one"):
            read_imagej_rois(save(tmp_path / "a.zip", everywhere, second), (1, 2))


# What is refused


def test_rois_without_area_are_named(tmp_path: Path) -> None:
    rois = [
        roi_of(KIND.RECT, 0, 0, 1, 1, name="cell"),
        roi_of(KIND.LINE, 0, 0, 1, 1, name="scale\nbar"),
        polygon(KIND.POINT, [(1, 1), (2, 2)], name="seeds"),
        polygon(KIND.FREELINE, [(1, 1), (2, 2), (3, 1)], name="path"),
        roi_of(KIND.LINE, 0, 0, 1, 1, name="axis"),
    ]
    expected = r"\(2 LINE, 1 POINT, 1 FREELINE: 'scale\\nbar', 'seeds', 'path', 'axis'\), expected outlines"
    with pytest.raises(FileFormatError, match=expected):
        read_imagej_rois(save(tmp_path / "a.zip", *rois), (9, 9))


def test_text_over_an_image_is_no_cell(tmp_path: Path) -> None:
    text = roi_of(KIND.RECT, 0, 0, 5, 5, subtype=roifile.ROI_SUBTYPE.TEXT, text="hello", name="note")
    with pytest.raises(FileFormatError, match=r"enclose no area \(1 TEXT: 'note'\)"):
        read_imagej_rois(save(tmp_path / "a.roi", text), (9, 9))


def zip_of(data: bytes) -> bytes:
    return b"PK\3\4" + data


COMPOSITE = roi_of(KIND.RECT, 0, 0, 2, 2, shape_roi_size=4)
COMPOSITE.multi_coordinates = np.array([0, 1, 1, 1], np.float32)
INFINITE = polygon(KIND.POLYGON, [(0.5, 0.5), (3.5, 1.5), (1.5, 3.5)])
INFINITE.subpixel_coordinates[1, 1] = np.inf


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "ImageJ ROI data too short"),
        (b"hello" * 99, "not an ImageJ ROI"),
        (zip_of(b"no zip after all"), "ImageJ ROI data too short"),
        (polygon(KIND.POLYGON, [(0, 0), (9, 0), (9, 9)]).tobytes()[:70], "cannot be read"),
        (COMPOSITE.tobytes(), "a path ends too early"),
        (COMPOSITE.tobytes().replace(struct.pack(">f", 0), struct.pack(">f", 9)), "cannot be read"),
        (INFINITE.tobytes(), "a coordinate is not finite"),
    ],
)
def test_damaged_rois(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.roi").write_bytes(content)
    with pytest.raises(FileFormatError, match=message) as caught:
        read_imagej_rois(tmp_path / "a.roi", (9, 9))
    assert str(caught.value).startswith(f"{tmp_path / 'a.roi'}")
    assert "\n" not in str(caught.value)


def test_damage_within_a_set_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("bad\n1.roi", b"hello" * 20)
    with pytest.raises(FileFormatError, match=r"a\.zip, 'bad\\n1\.roi' cannot be read \(not an ImageJ ROI"):
        read_imagej_rois(tmp_path / "a.zip", (9, 9))


def test_bombs_are_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dinocell.results.imagej_import.MAX_ROI_BYTES", 2000)
    roi = roi_of(KIND.RECT, 0, 0, 1, 1).tobytes()
    (tmp_path / "a.roi").write_bytes(roi + bytes(2000))
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("0.roi", roi + bytes(1500))
        file.writestr("1.roi", roi + bytes(1500))
    for name in ("a.roi", "b.zip"):
        with pytest.raises(FileFormatError, match=r"holds more than 2000 bytes, .*: split it"):
            read_imagej_rois(tmp_path / name, (9, 9))


def test_missing_files_and_folders(tmp_path: Path) -> None:
    for missing in (tmp_path / "no.zip", save(tmp_path / "a.roi", roi_of(KIND.RECT, 0, 0, 1, 1)) / "b.zip"):
        with pytest.raises(FileMissingError, match=r"does not exist, expected a ROI set .*: check the path"):
            read_imagej_rois(missing, (9, 9))
    with pytest.raises(FileFormatError, match="is not a file, expected a ROI set"):
        read_imagej_rois(tmp_path, (9, 9))


def seeds() -> Mapping[str, bytes]:
    return {
        "rect": roi_of(KIND.RECT, 1, 1, 4, 5, name="3").tobytes(),
        "polygon": polygon(KIND.FREEHAND, [(0.5, 0.5), (8, 1), (4, 7.5)]).tobytes(),
        "traced": polygon(KIND.TRACED, [(1, 1), (5, 1), (5, 4), (1, 4)]).tobytes(),
    }


@pytest.mark.parametrize("name", seeds())
def test_damage_gives_labels_or_our_error(tmp_path: Path, name: str) -> None:
    data, rng = seeds()[name], np.random.default_rng(zlib.crc32(name.encode()))
    for number in range(200):
        changed = bytearray(data[: rng.integers(len(data))] if number % 4 == 0 else data)
        for _ in range(rng.choice([1, 2, 8]) if changed else 0):
            changed[rng.integers(len(changed))] = rng.choice([0, 1, 127, 128, 255])
        (tmp_path / "a.roi").write_bytes(changed)
        try:
            labels = read_imagej_rois(tmp_path / "a.roi", (9, 9))
        except DINOCellError as error:
            assert "a.roi" in str(error)  # noqa: PT017
        else:
            assert labels.shape == (9, 9)


@QUICK
@given(position=st.floats(0, 1), value=st.integers(0, 255))
def test_a_damaged_set_gives_labels_or_our_error(tmp_path: Path, position: float, value: int) -> None:
    write_imagej_rois(tmp_path / "a.zip", ring_with_guest(), provenance=PROVENANCE)
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[int(position * (len(data) - 1))] = value
    (tmp_path / "a.zip").write_bytes(data)
    try:
        labels = read_imagej_rois(tmp_path / "a.zip", (7, 8))
    except DINOCellError as error:
        assert "a.zip" in str(error)  # noqa: PT017
    else:
        assert labels.shape == (7, 8)
