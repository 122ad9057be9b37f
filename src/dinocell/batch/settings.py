"""Settings of a batch."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dinocell.inference.segmentation import Diameter
from dinocell.io.selection import Selection
from dinocell.postprocess.thresholds import Thresholds
from dinocell.preprocess.preprocessing import Preprocessing


@dataclass(frozen=True)
class BatchSettings:
    """Settings for reading, segmenting and writing every file of a batch.

    Attributes
    ----------
    output : Path
        Folder of the results.
    formats : tuple of str
        Names of `dinocell.results.formats.PLANE_FORMATS`, in the order in which they are written.
    model, model_sha256 : str
        Name of the model, and hash of its configuration and weights.
    trained : bool
        False for a model without training, whose results get names of their own.
    thresholds : Thresholds
    preprocessing : Preprocessing
    tile_size, overlap : int
    diameter : float, "auto" or None
        In pixels.
    diameter_um : float or None
        In micrometres, in place of `diameter`, for files that know their pixel size.
    min_size : int
    fill_holes : bool
        Whether background enclosed by one cell becomes part of it.
    precision : str
        As given, see `dinocell.inference.engines.engine.Precision`.
    selection : Selection
    overwrite : bool
        Whether to redo everything, and replace files that were edited or are not ours.
    """

    output: Path
    formats: tuple[str, ...]
    model: str
    model_sha256: str
    trained: bool
    thresholds: Thresholds
    preprocessing: Preprocessing
    tile_size: int
    overlap: int
    diameter: Diameter = None
    diameter_um: float | None = None
    min_size: int = 0
    fill_holes: bool = False
    precision: str = "auto"
    selection: Selection = field(default_factory=Selection)
    overwrite: bool = False

    def described(self) -> dict[str, Any]:
        """Return all settings that decide about the labels, as JSON values for the provenance."""
        return {
            "model": {"name": self.model, "sha256": self.model_sha256, "trained": self.trained},
            "thresholds": self.thresholds.model_dump(),
            "preprocessing": asdict(self.preprocessing),
            "tile_size": self.tile_size,
            "overlap": self.overlap,
            "diameter": self.diameter,
            "diameter_um": self.diameter_um,
            "min_size": self.min_size,
            **({"fill_holes": True} if self.fill_holes else {}),
            **({} if self.precision == "auto" else {"precision": self.precision}),
        }
