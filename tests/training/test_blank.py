import numpy as np
import pytest

from dinocell.preprocess.preprocessing import Preprocessing
from dinocell.training.blank import draw_border, draw_empty


def test_borders_hide_a_part_at_the_edge_and_never_all():
    borders = [draw_border(64, np.random.default_rng(seed)) for seed in range(300)]
    shares = np.array([border.covered.mean() for border in borders])
    edge = np.ones((64, 64), bool)
    edge[1:-1, 1:-1] = False
    for border in borders:
        if border.covered.any():
            assert border.covered[edge].any()
    assert (shares < 1).mean() > 0.95
    assert (shares > 0.05).mean() > 0.8
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
