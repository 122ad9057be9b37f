"""The distance map as TIFF."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dinocell.errors import InputError
from dinocell.io.images import read_image
from dinocell.io.saving import write_image
from dinocell.io.stacks import write_stack
from dinocell.results.result_format import PlaneFormat, PlaneResult, Stack, StackPart


class DistanceFormat(PlaneFormat):
    """Distance map, which shows why cells were cut as they were."""

    name = "distance"
    ending = "_distance.tif"
    meaning = "the distance map"
    needs_map = True

    def write(self, path: Path, result: PlaneResult) -> None:
        """Write the map as float16: steps of at most 0.0005, at half the size."""
        if result.distance_map is None:
            raise InputError(f"{path} cannot be written: there is no distance map, expected one")
        write_image(path, result.distance_map.astype(np.float16))

    def join(self, path: Path, parts: Sequence[StackPart], stack: Stack) -> None:
        """Write the maps of all planes as float32, as OME and ImageJ do not know float16."""
        write_stack(
            path,
            (read_image(part.path).pixels.astype(np.float32) for part in parts),
            stack.axes,
            plane_shape=stack.plane_shape,
            dtype=np.dtype(np.float32),
            name="distance map",
            provenance=stack.provenance,
        )
