"""Cells as polygons along pixel edges, and back: exact, valid, and in bounded work."""

import math
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage

from dinocell.errors import InputError
from dinocell.measure.filling import choose_ids, fill_polygons
from dinocell.measure.outlines import Polygon, cell_polygons
from tests.cases import CASES

Labels = NDArray[np.int32]

label_images = hnp.arrays(
    np.int32,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
    elements=st.sampled_from([-1, 0, 0, 0, 1, 1, 1, 2, 9, 2**31 - 1]),
)


def ring_with_guest() -> Labels:
    """Draw a ring with another cell in its hole, which touches it by a corner."""
    labels = np.zeros((7, 8), np.int32)
    labels[1:6, 1:6] = 4
    labels[2:5, 2:5] = 0
    labels[2, 2] = labels[4, 3] = 9
    return labels


def shape_of(piece: Polygon) -> shapely.Polygon:
    return shapely.Polygon(piece.exterior, piece.holes)


def drawn_by_shapely(shapes: Mapping[int, Any], shape: tuple[int, int]) -> Labels:
    """Draw cells by asking shapely which pixel centres they contain."""
    labels = np.zeros(shape, np.int32)
    for cell, geometry in shapes.items():
        shapely.prepare(geometry)
        left, top, right, bottom = (int(bound) for bound in geometry.bounds)
        y, x = np.mgrid[top:bottom, left:right] + 0.5
        labels[top:bottom, left:right][shapely.contains_xy(geometry, x, y)] = cell
    return labels


def check(labels: NDArray[Any]) -> None:
    """Check the round trip, and every polygon against shapely and SciPy."""
    before = labels.copy()
    polygons = cell_polygons(labels)
    assert list(polygons) == [cell for cell in np.unique(labels).tolist() if cell > 0]
    np.testing.assert_array_equal(fill_polygons(polygons, labels.shape), np.maximum(labels, 0))
    np.testing.assert_array_equal(labels, before)
    for cell, pieces in polygons.items():
        shapes = [shape_of(piece) for piece in pieces]
        assert all(shape.is_valid for shape in shapes)
        whole = shapely.MultiPolygon(shapes)
        assert whole.is_valid
        assert whole.area == np.count_nonzero(labels == cell)
        assert len(shapes) == ndimage.label(labels == cell)[1]
        for shape in shapes:
            assert shape.exterior.is_ccw
            assert not any(hole.is_ccw for hole in shape.interiors)
            assert shape.equals_exact(shape.simplify(0), normalize=True)  # no corner on a straight line


@pytest.mark.parametrize("name", CASES)
def test_named_cases(name: str) -> None:
    check(CASES[name] * 1000)  # ids with gaps


@given(labels=label_images)
@settings(deadline=None, max_examples=150)
def test_any_labels(labels: Labels) -> None:
    check(labels)


@given(mask=hnp.arrays(np.bool_, st.tuples(st.integers(3, 12), st.integers(3, 12))))
@settings(deadline=None, max_examples=100)
def test_any_single_cell(mask: NDArray[np.bool_]) -> None:
    check(mask.astype(np.int32))


def test_a_ring_by_hand() -> None:
    polygons = cell_polygons(ring_with_guest())
    (ring,) = polygons[4]
    assert ring.exterior.tolist() == [[1, 1], [6, 1], [6, 6], [1, 6]]
    (hole,) = ring.holes
    assert {tuple(corner) for corner in hole.tolist()} == {(2, 2), (5, 2), (5, 5), (2, 5)}
    assert [piece.exterior.tolist() for piece in polygons[9]] == [
        [[2, 2], [3, 2], [3, 3], [2, 3]],
        [[3, 4], [4, 4], [4, 5], [3, 5]],
    ]
    check(ring_with_guest())


def test_a_hole_that_touches_the_exterior_by_a_corner() -> None:
    labels = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]])
    (piece,) = cell_polygons(labels)[1]
    assert len(piece.holes) == 1
    assert shape_of(piece).area == 7
    check(labels)


def test_corners_that_touch_are_pieces() -> None:
    polygons = cell_polygons(np.eye(3, dtype=np.int32))
    assert [piece.exterior.tolist() for piece in polygons[1]] == [
        [[n, n], [n + 1, n], [n + 1, n + 1], [n, n + 1]] for n in range(3)
    ]


def test_no_cell_and_no_pixel() -> None:
    for labels in (np.zeros((3, 4), int), np.full((3, 4), -1), np.zeros((0, 4), int)):
        assert cell_polygons(labels) == {}
    np.testing.assert_array_equal(fill_polygons({}, (2, 3)), np.zeros((2, 3)))


def test_what_is_no_label_image() -> None:
    with pytest.raises(InputError, match="labels has dtype float64"):
        cell_polygons(np.zeros((3, 4)))


# Filling


corners = st.tuples(st.floats(-4, 14), st.floats(-4, 14))


@given(points=st.lists(corners, min_size=3, max_size=8), hole=st.lists(corners, min_size=3, max_size=5))
@settings(deadline=None, max_examples=50)
def test_pixel_centres_decide_by_the_even_odd_rule(
    points: list[tuple[float, float]], hole: list[tuple[float, float]]
) -> None:
    rings = [np.array(points), np.array(hole)]
    got = fill_polygons({3: [Polygon(rings[0], (rings[1],))]}, (10, 11))
    for row, column in np.ndindex(got.shape):
        x, y = column + 0.5, row + 0.5
        crossings = 0
        near = False
        for ring in rings:
            near |= shapely.LinearRing(ring).distance(shapely.Point(x, y)) < 1e-9
            for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
                if min(y0, y1) <= y < max(y0, y1):
                    crossings += x0 + (y - y0) / (y1 - y0) * (x1 - x0) <= x
        if not near:
            assert got[row, column] == (3 if crossings % 2 else 0)


def test_a_triangle_by_hand() -> None:
    triangle = Polygon(np.array([(0.0, 0.0), (4.0, 0.0), (0.0, 4.0)]))
    # Centres on the long side (x + y = 4) lie on a right edge: outside.
    assert fill_polygons({1: [triangle]}, (4, 5)).tolist() == [
        [1, 1, 1, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
    ]


def test_the_later_cell_wins() -> None:
    squares = {
        cell: [Polygon(np.array([(low, 0), (low + 2, 0), (low + 2, 1), (low, 1)]))]
        for cell, low in ((5, 0), (2, 1))
    }
    assert fill_polygons(squares, (1, 4)).tolist() == [[5, 2, 2, 0]]


def test_opencv_agrees_on_a_large_shape() -> None:
    angle = np.linspace(0, 2 * np.pi, 500, endpoint=False)
    radius = 90 + 25 * np.sin(7 * angle)
    ring = np.stack([128 + radius * np.cos(angle), 110 + radius * np.sin(angle)], axis=1)
    canvas = np.zeros((220, 256), np.uint8)
    cv2.fillPoly(canvas, [np.round((ring - 0.5) * 256).astype(np.int32)], 1, shift=8)
    ours = fill_polygons({1: [Polygon(ring)]}, canvas.shape)
    assert np.count_nonzero((ours > 0) & (canvas > 0)) / np.count_nonzero((ours > 0) | (canvas > 0)) > 0.97
    assert ours.sum() == pytest.approx(shapely.Polygon(ring).area, rel=0.005)


def test_what_lies_outside_is_cut_off_even_very_far() -> None:
    for far in (100.0, 1e9, 1e300):
        frame = Polygon(np.array([(-far, -far), (far, -far), (far, far), (-far, far)]))
        assert (fill_polygons({1: [frame]}, (4, 5)) == 1).all()
        beside = Polygon(np.array([(far, 0), (far + 1, 0), (far + 1, 4), (far, 4)]))
        assert not fill_polygons({1: [beside]}, (4, 5)).any()


def test_crossings_are_worked_out_in_several_parts() -> None:
    # A comb of 20,000 teeth, narrower than a pixel: 1.28 million crossings.
    sides = np.linspace(0, 64, 20_000)
    y = np.tile([0.0, 64.0, 64.0, 0.0], 10_000)
    drawn = fill_polygons({1: [Polygon(np.stack([np.repeat(sides, 2), y], axis=1))]}, (64, 64))
    row = np.searchsorted(sides, np.arange(64) + 0.5, side="right") % 2
    np.testing.assert_array_equal(drawn, np.tile(row, (64, 1)))


def test_an_edge_of_many_corners() -> None:
    upper = np.stack([np.linspace(0, 8, 1_000_001), np.zeros(1_000_001)], axis=1)
    square = Polygon(np.concatenate([upper, [(8, 8), (0, 8)]]))
    assert (fill_polygons({1: [square]}, (8, 8)) == 1).all()


def test_a_million_long_edges_cost_what_they_enclose_and_not_what_they_cross(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Take edges that all cross all rows: of upright ones and of those far away only the ends count."""
    monkeypatch.setattr("dinocell.measure.filling._MAX_WORK", 2**21)
    comb = np.stack([np.repeat(np.linspace(0, 64, 500_000), 2), np.tile([-9.0, 99, 99, -9], 250_000)], axis=1)
    drawn = fill_polygons({1: [Polygon(comb)]}, (64, 64))
    # A tooth of the comb is as wide as the step of its corners, so a centre lies in every second one.
    tooth = np.searchsorted(comb[::2, 0], np.arange(64) + 0.5, side="right")
    np.testing.assert_array_equal(drawn, np.tile(tooth % 2 == 1, (64, 1)))
    far = np.stack([np.tile([-1e9, 1e9], 500_000), np.linspace(-1e9, 1e9, 1_000_000)], axis=1)
    assert fill_polygons({1: [Polygon(far)]}, (64, 64)).shape == (64, 64)


def test_endless_work_is_refused_before_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dinocell.measure.filling._MAX_WORK", 1000)
    frame = Polygon(np.array([(0, 0), (9, 0), (9, 9), (0, 9)]))
    fill_polygons({cell: [frame] for cell in range(1, 60)}, (9, 9))
    with pytest.raises(InputError, match="polygons, cell 73, and those before it cover the image too often"):
        fill_polygons({cell: [frame] for cell in range(1, 100)}, (9, 9))


@pytest.mark.parametrize(
    ("ring", "message"),
    [
        (
            [(0, 0), (math.nan, 1), (2, 2)],
            r"polygons, cell 7, has a ring of shape \(3, 2\), expected finite corners",
        ),
        ([(0, 0), (math.inf, 1), (2, 2)], "expected finite corners"),
        ([(0, 0, 0), (1, 1, 1), (2, 2, 0)], r"shape \(3, 3\), expected finite corners \(N, 2\)"),
    ],
)
def test_rings_that_cannot_be_drawn(ring: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        fill_polygons({7: [Polygon(np.array(ring))]}, (4, 4))


@pytest.mark.parametrize("shape", [(0, 4), (4,), (-1, -1), (2**16, 2**16)])
def test_shapes_that_cannot_be_drawn(shape: Any) -> None:
    with pytest.raises(InputError, match="expected height and width of 1 to"):
        fill_polygons({}, shape)


def test_ids_that_cannot_be_drawn() -> None:
    for cell in (0, -1, 2**31):
        with pytest.raises(InputError, match=f"the id {cell}, expected 1 to 2147483647"):
            fill_polygons({cell: []}, (4, 4))


def test_rings_without_area_draw_nothing() -> None:
    for points in (np.empty((0, 2)), np.array([(1.5, 1.5)]), np.array([(0, 0), (3, 3)])):
        assert not fill_polygons({1: [Polygon(points)]}, (4, 4)).any()


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        ([], []),
        ([5, 2], [5, 2]),
        (["05", "2147483647"], [5, 2**31 - 1]),
        (["1", "01"], [1, 2]),
        (["1", ""], [1, 2]),
        (["1", "-2"], [1, 2]),
        (["2", None], [1, 2]),
        ([True, 4], [1, 2]),
        (["3", "2147483648"], [1, 2]),
        (["3", "9" * 5000], [1, 2]),
        (["3", "²"], [1, 2]),
        (["3", 4.0], [1, 2]),
    ],
)
def test_names_become_ids_where_all_can(names: list[object], ids: list[int]) -> None:
    assert choose_ids(names) == ids
