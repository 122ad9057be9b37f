"""One image in one call."""

import functools
from pathlib import Path
from typing import Any, Unpack

from numpy.typing import NDArray

from dinocell.inference.pipeline import AnyPreset, DINOCellPipeline
from dinocell.inference.segmentation import Segmentation
from dinocell.inference.settings import RunOptions
from dinocell.models.checkpoint import find_checkpoint


def segment(
    image: NDArray[Any],
    model: str | Path = "nano",
    *,
    preset: AnyPreset | None = None,
    **options: Unpack[RunOptions],
) -> Segmentation:
    """Segment one image.

    Parameters
    ----------
    image : array, shape (Y, X) or (Y, X, C)
        Gray, RGB or RGBA of any integer or float dtype; never changed.
    model : str or Path
        Name of a trained model, or a checkpoint folder.
    preset : path, mapping or Preset, optional
        Settings that `dinocell tune` found for this model.
    **options
        As `DINOCellPipeline.run` takes them, for example ``diameter=40``.

    Returns
    -------
    Segmentation
        ``labels``, ``distance_map`` and the ``parameters`` they were made with.

    Raises
    ------
    DINOCellError
        If the image, the model or an option cannot be used.
    """
    folder = find_checkpoint(model).resolve()
    written = max((file.stat().st_mtime_ns for file in folder.iterdir()), default=0)
    return _cached_pipeline(folder, written).run(image, preset=preset, **options)


@functools.lru_cache(maxsize=1)
def _cached_pipeline(folder: Path, _written: int) -> DINOCellPipeline:
    """Keep the model of the last call, until its folder is written anew."""
    return DINOCellPipeline(folder)
