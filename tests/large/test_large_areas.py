"""Areas of cells counted block by block are those of the whole image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dinocell.labels import cell_areas, median_diameter
from dinocell.large.areas import CellAreas


def counted(labels, columns):
    """Count the areas of labels cut into strips; cells in several of them are shared."""
    strips = np.split(labels, columns, axis=1)
    areas = CellAreas()
    for strip in strips:
        ids, sizes = np.unique(strip[strip > 0], return_counts=True)
        shared = np.array([sum((other == cell).any() for other in strips) > 1 for cell in ids], bool)
        areas.add({"ids": ids.astype(np.uint64), "areas": sizes.astype(np.int64), "shared": shared})
    return areas.finish()


@given(st.integers(0, 10**6), st.integers(0, 12), st.integers(0, 9))
def test_blocks_add_up(seed, cells, least):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, cells + 1, (6, 12)).astype(np.int32)
    labels[:, 4:9] = np.where(rng.random((6, 5)) < 0.5, labels[:, 3:4], labels[:, 4:9])
    sizes = cell_areas(labels)[1:]
    sizes = sizes[sizes > 0]
    found = counted(labels, [4, 9])
    assert np.repeat(found.areas, found.counts).tolist() == sorted(sizes.tolist())
    kept = found.least(least)
    assert kept.cells == (sizes >= least).sum()
    if found.cells:
        assert sum(found.middle()) / 2 == np.median(sizes)
        assert found.median_diameter() == pytest.approx(median_diameter(labels))
    else:
        assert found.middle() is None
        assert found.median_diameter() is None
