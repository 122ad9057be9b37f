"""The distance map as TIFF."""

from pathlib import Path

from dinocell.io.saving import write_image
from dinocell.results.result_format import PlaneFormat, PlaneResult


class DistanceFormat(PlaneFormat):
    """Distance map, which shows why cells were cut as they were."""

    name = "distance"
    ending = "_distance.tif"
    meaning = "the distance map"

    def write(self, path: Path, result: PlaneResult) -> None:
        """Write the map as float32."""
        write_image(path, result.distance_map)
