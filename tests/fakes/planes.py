"""A plane of light and grain, and windows of planes: drawn at random, read under supervision."""

import platform
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

on_x86 = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="OpenCV's rounding elsewhere is not repeated"
)


def texture(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.uint8]:
    """Return uneven grays: smooth light and fine grain."""
    rng = np.random.default_rng(seed)
    light = gaussian_filter(rng.random(shape), 20)
    light = (light - light.min()) / np.ptp(light)
    return (light * 180 + rng.integers(0, 60, shape)).astype(np.uint8)


def reader(plane: NDArray[Any], extents: list[int]) -> Callable[[slice, slice], NDArray[Any]]:
    """Read windows of a plane that must lie within it, and note how many pixels they have."""

    def read(rows: slice, columns: slice) -> NDArray[Any]:
        assert 0 <= rows.start < rows.stop <= plane.shape[0]
        assert 0 <= columns.start < columns.stop <= plane.shape[1]
        extents.append((rows.stop - rows.start) * (columns.stop - columns.start))
        return plane[rows, columns]

    return read


@st.composite
def windows(draw: st.DrawFn, shape: tuple[int, int]) -> tuple[slice, slice]:
    """Draw rows and columns within a plane, at least one pixel."""
    starts = [draw(st.integers(0, length - 1)) for length in shape]
    rows, columns = (
        slice(start, draw(st.integers(start + 1, n))) for start, n in zip(starts, shape, strict=True)
    )
    return rows, columns
