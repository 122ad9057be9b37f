"""One image in one call, or many."""

import functools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Unpack, overload

import numpy as np

from dinocell.inference.inputs import ImageLike
from dinocell.inference.pipeline import AnyPreset, DINOCellPipeline
from dinocell.inference.segmentation import Segmentation
from dinocell.inference.settings import RunOptions
from dinocell.models.finding import find_checkpoint


@overload
def segment(  # type: ignore[overload-overlap]  # a text is an iterable of texts, but is one path here
    image: ImageLike,
    model: str | Path = "nano",
    *,
    channel: int | str | None = None,
    pixel_size_um: float | tuple[float, float] | None = None,
    preset: AnyPreset | None = None,
    **options: Unpack[RunOptions],
) -> Segmentation: ...


@overload
def segment(
    image: Iterable[ImageLike],
    model: str | Path = "nano",
    *,
    channel: int | str | None = None,
    pixel_size_um: float | tuple[float, float] | None = None,
    preset: AnyPreset | None = None,
    **options: Unpack[RunOptions],
) -> Iterator[Segmentation]: ...


def segment(
    image: ImageLike | Iterable[ImageLike],
    model: str | Path = "nano",
    *,
    channel: int | str | None = None,
    pixel_size_um: float | tuple[float, float] | None = None,
    preset: AnyPreset | None = None,
    **options: Unpack[RunOptions],
) -> Segmentation | Iterator[Segmentation]:
    """Segment an image, or several.

    Parameters
    ----------
    image : array, shape (Y, X) or (Y, X, C), or path; or an iterable of these
        Gray, RGB or RGBA of any integer or float dtype, never changed; or an image file of one plane.
    model : str or Path
        Name of a trained model, or a checkpoint folder.
    channel : int or str, optional
        The channel to segment: its number, from 0, or in a file its name. Cells are measured in all.
    pixel_size_um : float or (float, float), optional
        Edge of a pixel in micrometres, or its height and width, where a file does not say it.
    preset : path, mapping or Preset, optional
        Settings that `dinocell tune` found for this model.
    **options
        As `DINOCellPipeline.run` takes them, for example ``diameter=40``.

    Returns
    -------
    Segmentation
        ``labels``, ``distance_map`` and the ``parameters`` they were made with; ``table()``, ``overlay()``
        and ``save(folder)``.
    iterator of Segmentation
        Of several images, each segmented when it is asked for.

    Raises
    ------
    DINOCellError
        If an image, the model or an option cannot be used.

    Examples
    --------
    >>> [result.count for result in segment([np.zeros((40, 40)), np.zeros((60, 80))])]
    [0, 0]
    """
    folder = find_checkpoint(model).resolve()
    written = max((file.stat().st_mtime_ns for file in folder.iterdir()), default=0)
    pipeline = _cached_pipeline(folder, written)

    def run(one: ImageLike) -> Segmentation:
        return pipeline.run(one, channel=channel, pixel_size_um=pixel_size_um, preset=preset, **options)

    if isinstance(image, np.ndarray | str | os.PathLike) or not isinstance(image, Iterable):
        return run(image)
    if hasattr(image, "__array__"):  # an array of another library
        return run(np.asarray(image))
    return map(run, image)


@functools.lru_cache(maxsize=1)
def _cached_pipeline(folder: Path, _written: int) -> DINOCellPipeline:
    """Keep the model of the last call, until its folder is written anew."""
    return DINOCellPipeline(folder)
