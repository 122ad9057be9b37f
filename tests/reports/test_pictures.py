import numpy as np

from dinocell.reports import pictures
from tests.cases import disk

SHAPE = (120, 160)
NOTHING = np.zeros(SHAPE, np.int32)
TRUE = NOTHING.copy()
TRUE[disk(SHAPE, (30, 30), 12)] = 1
TRUE[disk(SHAPE, (40, 100), 12)] = 2


def test_outlines_that_coincide_have_a_third_colour():
    picture = pictures.draw_comparison(np.zeros(TRUE.shape, np.uint8), TRUE, TRUE)
    colours = set(map(tuple, picture.reshape(-1, 3).tolist()))
    assert colours == {(0, 0, 0), pictures.BOTH}


def test_pixels_that_were_preprocessed_are_shown_as_they_are():
    gray = np.full(TRUE.shape, 77, np.uint8)
    assert (pictures.draw_comparison(gray, NOTHING, NOTHING) == 77).all()
    ignored = np.where(TRUE > 0, TRUE, -1).astype(np.int32)
    assert set(np.unique(pictures.draw_comparison(gray, ignored, NOTHING))) == {77, *pictures.TRUE}
