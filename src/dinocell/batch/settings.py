"""Settings of a batch."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dinocell.inference.settings import CompleteSettings
from dinocell.io.pixel_size import PixelSize
from dinocell.io.selection import Selection
from dinocell.preprocess.preprocessing import Preprocessing
from dinocell.results.overlay import OverlayFormat
from dinocell.results.result_format import PLAIN, OverlayStyle


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
    preprocessing : Preprocessing
    inference : CompleteSettings
    diameter_um : float or None
        In micrometres, in place of the diameter in pixels, for files that know their pixel size.
    selection : Selection
    separate_planes : bool
        Whether each plane of a stack has files of its own, rather than all of them one file a format.
    pixel_size_yx_um : (float, float) or None
        Height and width of a pixel in micrometres, for files that do not say it.
    same_target : bool
        Whether the target was chosen once for all files, see `dinocell.batch.agreement`.
    same_scale : bool
        Whether the scale was.
    overwrite : bool
        Whether to redo everything, and replace files that were edited or are not ours.
    overlay : OverlayStyle
        What overlays show.
    """

    output: Path
    formats: tuple[str, ...]
    model: str
    model_sha256: str
    trained: bool
    preprocessing: Preprocessing
    inference: CompleteSettings
    diameter_um: float | None = None
    selection: Selection = field(default_factory=Selection)
    separate_planes: bool = False
    pixel_size_yx_um: PixelSize | None = None
    same_target: bool = False
    same_scale: bool = False
    overwrite: bool = False
    overlay: OverlayStyle = PLAIN

    @property
    def shown(self) -> tuple[str, ...] | None:
        """Names of what overlays show; None where none is written."""
        return self.overlay.shown if OverlayFormat.name in self.formats else None

    def described(self) -> dict[str, Any]:
        """Return all settings that decide about the labels, as JSON values for the provenance."""
        recorded = self.inference.recorded()
        first = {
            "model": {"name": self.model, "sha256": self.model_sha256, "trained": self.trained},
            "thresholds": recorded["thresholds"],
            "preprocessing": asdict(self.preprocessing),
            "tile_size": recorded["tile_size"],
            "overlap": recorded["overlap"],
            "diameter": recorded["diameter"],
            "diameter_um": self.diameter_um,
        }
        return first | recorded  # what stands in both keeps its place
