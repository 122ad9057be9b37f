"""The scale of a large image: found by the size of cells in small views of some of its blocks."""

import json
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from dinocell.inference.autoscale import INSIDE
from dinocell.labels import TARGETS
from dinocell.postprocess.distance import labels_to_distance
from tests.fakes.disks import disks
from tests.fakes.large_images import check, in_memory, true_map
from tests.fakes.large_networks import THRESHOLDS, Echo, LargeTarget, TwoMaps, finish
from tests.fakes.zarr import write_ome_zarr

pytest.importorskip("zarr")

OPEN = {"cells": LargeTarget(THRESHOLDS, None)}


class Sized(Echo):
    """A network that is best at cells of 8 to 20 pixels."""

    sizes: ClassVar = (8.0, 20.0)

    def load(self) -> "Sized":
        return self


class TwoSized(TwoMaps):
    """The same, for either target."""

    sizes: ClassVar = (8.0, 20.0)

    def load(self) -> "TwoSized":
        return self


def write(folder, pixels):
    return write_ome_zarr(folder / "a.zarr", pixels, "yx", version="0.5")


def large_disks(count=64):
    return np.rint(255 * labels_to_distance(disks(40, count))).astype(np.uint8)


def test_an_image_of_large_cells_is_shrunk_as_it_would_be_in_memory(tmp_path):
    pixels = large_disks()
    result = finish(write(tmp_path, pixels), tmp_path / "out.zarr", Sized(), targets=OPEN, block=128)
    assert result.scale * 40 == pytest.approx(INSIDE * 20, rel=0.15)
    check(result, in_memory(pixels, scale=result.scale)[1])
    made = json.loads((tmp_path / "out.zarr" / "zarr.json").read_text())["attributes"]["dinocell"]
    assert made["scale"] == result.scale
    assert made["map"]["scales"] == {"cells": None}


def test_a_repeated_call_keeps_the_scale_without_the_network(tmp_path):
    network = Sized(str(tmp_path / "calls"))
    (tmp_path / "calls").mkdir()
    image = write(tmp_path, large_disks(16))
    first = finish(image, tmp_path / "out.zarr", network, targets=OPEN)
    calls = len(network.calls())
    assert finish(image, tmp_path / "out.zarr", network, targets=OPEN) == replace(first, skipped=True)
    assert len(network.calls()) == calls


@pytest.mark.parametrize(("network", "pixels"), [(Echo, large_disks(16)), (Sized, true_map())])
def test_an_image_stays_where_cells_are_small_or_no_sizes_are_known(tmp_path, network, pixels):
    result = finish(write(tmp_path, pixels), tmp_path / "out.zarr", network(), targets=OPEN)
    assert result.scale == 1
    check(result, in_memory(pixels)[1], least=16)


def test_every_target_has_a_scale_of_its_own(tmp_path):
    targets = {"cells": LargeTarget(THRESHOLDS, 1.0), "nuclei": LargeTarget(THRESHOLDS, None)}
    image = write(tmp_path, large_disks())
    result = finish(image, tmp_path / "out.zarr", TwoSized(), targets=targets, block=128)
    assert result.target == TARGETS[1]
    assert result.scale < 1
