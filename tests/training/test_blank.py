import numpy as np
import pytest

from dinocell.preprocess.preprocessing import Preprocessing
from dinocell.training.blank import draw_border, draw_empty, hidden


def test_a_border_by_hand():
    y, x = np.indices((5, 6), np.float32)
    nowhere = (0.0, 0.0, np.inf)
    right = hidden(nowhere, ((1.0, 0.0, 3.5), (0.0, -1.0, -0.5)), x, y)  # right of column 3, and row 0
    assert np.argwhere(~right).tolist() == [[row, column] for row in range(1, 5) for column in range(4)]
    disk = hidden((2.0, 2.0, 1.0), (nowhere,) * 4, x, y)
    assert np.argwhere(~disk).tolist() == [[1, 2], [2, 1], [2, 2], [2, 3], [3, 2]]


def test_borders_hide_a_part_at_the_edge_and_never_all():
    borders = [draw_border(64, np.random.default_rng(seed)) for seed in range(300)]
    y, x = np.indices((64, 64), np.float32)
    covered = np.array([hidden(border.circle, border.lines, x, y) for border in borders])
    shares = covered.mean(axis=(1, 2))
    inside = covered[:, 1:-1, 1:-1].any(axis=(1, 2))
    at_edge = covered.sum(axis=(1, 2)) > covered[:, 1:-1, 1:-1].sum(axis=(1, 2))
    assert (at_edge | ~inside).all()
    assert (shares < 1).mean() > 0.95
    assert (shares > 0.05).mean() > 0.75
    values = [border.value for border in borders]
    assert values.count(0) > 60
    assert values.count(255) > 60
    assert len(set(values)) > 20


@pytest.mark.parametrize("clahe", [True, False])
def test_empty_tiles_have_the_contrast_that_preprocessing_gives_to_noise(clahe):
    tiles = [draw_empty(64, Preprocessing(clahe=clahe), np.random.default_rng(seed)) for seed in range(8)]
    assert len({tile.tobytes() for tile in tiles}) == 8
    for tile in tiles:
        assert tile.dtype == np.uint8
        assert tile.shape == (64, 64)
        assert np.ptp(tile) > 150
