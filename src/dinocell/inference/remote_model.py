"""A model as it travels to workers: by name and hash, and loaded where it is used."""

import functools
from dataclasses import asdict, dataclass
from typing import Any

from dinocell.errors import InputError
from dinocell.inference.engines.engine import Precision
from dinocell.inference.pipeline import DINOCellPipeline
from dinocell.inference.prediction import Predictor
from dinocell.models.checkpoint import find_checkpoint, hash_checkpoint
from dinocell.models.variants import VARIANTS


@dataclass(frozen=True)
class ModelNetwork:
    """A model that is not loaded yet: small enough to travel to workers, and loaded once in each.

    Attributes
    ----------
    model : str
        Name of a trained model, or a checkpoint folder that all workers see.
    sha256 : str
        Hash of its configuration and weights.
    device, batch_size, tile_size, overlap, clahe, engine, precision, compiled
        As for `dinocell.inference.pipeline.DINOCellPipeline`.
    """

    model: str
    sha256: str
    device: str = "auto"
    batch_size: int | None = None
    tile_size: int | None = None
    overlap: int | None = None
    clahe: bool | None = None
    engine: str = "torch"
    precision: Precision = "auto"
    compiled: bool = False

    @classmethod
    def named(cls, name: str, **options: Any) -> "ModelNetwork":
        """Find a model; a folder is named by its full path, as workers start elsewhere.

        Parameters
        ----------
        name : str
            Of a trained model, or a checkpoint folder.
        **options
            The other attributes.

        Raises
        ------
        UnknownModelError, UntrainedModelError, CheckpointError
            As `dinocell.models.checkpoint.find_checkpoint`.
        """
        folder = find_checkpoint(name)
        reachable = name if name in VARIANTS else str(folder.absolute())
        return cls(reachable, hash_checkpoint(folder), **options)

    def load(self) -> Predictor:
        """Load the model, once a process.

        Raises
        ------
        InputError
            If the weights here are others than those that were asked for.
        """
        return self.load_pipeline().predictor

    def load_pipeline(self) -> DINOCellPipeline:
        """Load the model with its thresholds, once a process; errors as `load`."""
        return _load(self)

    def described(self) -> dict[str, Any]:
        """All that decides about the maps: JSON values."""
        chosen = self.load()
        return {
            "model": self.model,
            "sha256": self.sha256,
            "preprocessing": asdict(chosen.preprocessing),
            "tile_size": chosen.tile_size,
            "overlap": chosen.overlap,
            **({} if self.precision == "auto" else {"precision": self.precision}),
        }


@functools.lru_cache(maxsize=1)
def _load(network: ModelNetwork) -> DINOCellPipeline:
    if hash_checkpoint(find_checkpoint(network.model)) != network.sha256:
        raise InputError(
            f"model {network.model!r} has other weights on this worker than where the run was started, "
            "expected the same everywhere: install the same version, or give a folder that all see"
        )
    return DINOCellPipeline(
        network.model,
        device=network.device,
        batch_size=network.batch_size,
        tile_size=network.tile_size,
        overlap=network.overlap,
        clahe=network.clahe,
        engine=network.engine,
        precision=network.precision,
        compiled=network.compiled,
    )
