"""The distance map as TIFF."""

from pathlib import Path

from dinocell.errors import InputError
from dinocell.io.saving import write_image
from dinocell.results.result_format import PlaneFormat, PlaneResult


class DistanceFormat(PlaneFormat):
    """Distance map, which shows why cells were cut as they were."""

    name = "distance"
    ending = "_distance.tif"
    meaning = "the distance map"
    needs_map = True

    def write(self, path: Path, result: PlaneResult) -> None:
        """Write the map as float32."""
        if result.distance_map is None:
            raise InputError(f"{path} cannot be written: there is no distance map, expected one")
        write_image(path, result.distance_map)
