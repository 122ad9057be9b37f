"""A model as it travels to workers: by name and hash, and loaded where it is used."""

import functools
from dataclasses import asdict, dataclass, replace
from typing import Any, Self, Unpack

from dinocell.errors import InputError
from dinocell.inference.engines.start import Used
from dinocell.inference.pipeline import DINOCellPipeline
from dinocell.inference.prediction import Predictor
from dinocell.inference.settings import CompleteSettings, InferenceOptions, InferenceSettings, RunSettings
from dinocell.models.checkpoint import hash_checkpoint, read_config
from dinocell.models.finding import find_checkpoint
from dinocell.models.variants import VARIANTS


@dataclass(frozen=True)
class RemoteModel:
    """A model that is not loaded yet: small enough to travel to workers, and loaded once in each.

    Attributes
    ----------
    model : str
        Name of a trained model, or a checkpoint folder that all workers see.
    sha256 : str
        Hash of its configuration and weights.
    settings : CompleteSettings
    resumed : (str, str), optional
        See `dinocell.inference.engines.start.open_engine`.
    """

    model: str
    sha256: str
    settings: CompleteSettings
    resumed: Used | None = None

    @classmethod
    def named(cls, name: str, **options: Unpack[InferenceOptions]) -> Self:
        """Find a model; a folder is named by its full path, as workers start elsewhere.

        Parameters
        ----------
        name : str
            Of a trained model, or a checkpoint folder.
        **options
            As for `dinocell.inference.pipeline.DINOCellPipeline`.

        Raises
        ------
        UnknownModelError, UntrainedModelError, CheckpointError
            As `dinocell.models.finding.find_checkpoint`.
        InputError
            If an option is out of bounds.
        """
        folder = find_checkpoint(name)
        reachable = name if name in VARIANTS else str(folder.absolute())
        settings = InferenceSettings().completed(read_config(folder), **options)
        return cls(reachable, hash_checkpoint(folder), settings)

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

    def resumed_with(self, used: Used) -> Self:
        """Return the model that goes on with the engine and the precision of what is done so far."""
        return replace(self, resumed=used)

    def described(self) -> dict[str, Any]:
        """Return all that decides about the maps: JSON values."""
        recorded = self.settings.recorded()
        return {
            "model": self.model,
            "sha256": self.sha256,
            "preprocessing": asdict(self.load().preprocessing),
            **{name: value for name, value in recorded.items() if name not in RunSettings.model_fields},
        }


@functools.lru_cache(maxsize=1)
def _load(remote: RemoteModel) -> DINOCellPipeline:
    if hash_checkpoint(find_checkpoint(remote.model)) != remote.sha256:
        raise InputError(
            f"model {remote.model!r} has other weights on this worker than where the run was started, "
            "expected the same everywhere: install the same version, or give a folder that all see"
        )
    return DINOCellPipeline(remote.model, settings=remote.settings, resumed=remote.resumed)
