"""The target of a large image: chosen by some of its blocks, once, and kept."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dinocell.labels import TARGETS
from dinocell.large.overview import MOST_BLOCKS, busiest_window
from dinocell.postprocess.thresholds import Thresholds
from tests.fakes.large_images import check, in_memory, true_map, write_cells
from tests.fakes.large_networks import THRESHOLDS, TwoMaps, finish, large_settings
from tests.fakes.zarr import write_ome_zarr

pytest.importorskip("zarr")

FAINT = Thresholds(cells_max_threshold=0.2, cell_fill_threshold=0.05)


def settings():
    """Return the targets of settings in which each has thresholds of its own."""
    own = large_settings(["cells"], thresholds=FAINT).targets | large_settings(["nuclei"]).targets
    return {name: own[name] for name in TARGETS}


@pytest.mark.parametrize("kind", ["uint8", "int16", "float32", "float64"])
def test_the_target_is_chosen_once_with_its_map_and_thresholds(tmp_path, kind):
    image = write_ome_zarr(tmp_path / "a.zarr", true_map().astype(kind), "yx", version="0.5")
    result = finish(image, tmp_path / "out.zarr", TwoMaps(), targets=settings())
    assert result.target == "nuclei"
    check(result, in_memory(true_map(), thresholds=THRESHOLDS)[1])
    made = json.loads((tmp_path / "out.zarr" / "zarr.json").read_text())["attributes"]["dinocell"]
    assert made["target"] == "nuclei"
    assert set(made["labels"]["thresholds"]) == set(TARGETS)


def test_a_given_target_is_not_looked_for(tmp_path):
    image = write_cells(tmp_path / "in" / "cells.zarr")
    network = TwoMaps(str(tmp_path / "calls"))
    (tmp_path / "calls").mkdir()
    result = finish(image, tmp_path / "out.zarr", network, targets={"nuclei": settings()["nuclei"]})
    alone = len(network.calls())
    assert result.target == "nuclei"
    finish(image, tmp_path / "again.zarr", network, targets=settings())
    assert alone < len(network.calls()) - alone <= alone + MOST_BLOCKS


def test_a_finished_run_is_recognised_without_the_network(tmp_path):
    image = write_cells(tmp_path / "in" / "cells.zarr")
    network = TwoMaps(str(tmp_path / "calls"))
    (tmp_path / "calls").mkdir()
    first = finish(image, tmp_path / "out.zarr", network, targets=settings())
    calls = len(network.calls())
    again = finish(image, tmp_path / "out.zarr", network, targets=settings())
    assert again == replace(first, skipped=True)
    assert len(network.calls()) == calls


def test_background_has_no_say(tmp_path):
    """Of 6 × 6 blocks one holds cells: it is looked at, and an empty image has the first target."""
    pixels = np.zeros((384, 384), np.uint8)
    pixels[256:320, 64:128] = true_map()[:64, :64]
    for name, values, target in (("cells", pixels, "nuclei"), ("empty", 0 * pixels, "cells")):
        image = write_ome_zarr(tmp_path / f"{name}.zarr", values, "yx", version="0.5")
        result = finish(image, tmp_path / f"{name}_out.zarr", TwoMaps(), targets=settings())
        assert result.target == target


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 50))
def test_the_busiest_window_lies_inside_and_holds_the_brightest_pixel(height, width, side):
    gray = np.zeros((height, width), np.uint8)
    gray[height // 2, width // 3] = 255
    window = busiest_window(gray, side)
    part = gray[window]
    assert 0 < part.shape[0] <= side
    assert 0 < part.shape[1] <= side
    assert side == 1 or part.size == 1 or part.max() == 255
