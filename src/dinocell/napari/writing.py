"""Writer: labels layers as TIFF, a plane or a stack of them."""

from pathlib import Path
from typing import Any

import numpy as np

from dinocell.errors import InputError
from dinocell.io.saving import write_labels
from dinocell.io.stacks import write_stack
from dinocell.labels import validate_labels
from dinocell.napari.origins import axes_of, origin_of


def write_layer(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a labels layer, as napari asks of a writer.

    Parameters
    ----------
    path : str
        Name ending in .tif or .tiff.
    data : integer array, shape (..., Y, X)
        At most two axes before Y and X: times and slices. Of several levels, the finest is written.
    attributes : dict
        Of the layer.

    Returns
    -------
    list of str
        The file.

    Raises
    ------
    InputError
        If the data are not labels, or have more axes.
    OutputError
        If the file cannot be written.
    """
    finest = data[0] if attributes.get("multiscale") or isinstance(data, list) else data
    labels = np.asarray(finest)
    origin = origin_of(attributes.get("metadata") or {})
    size = None if origin is None else origin.pixel_size_yx_um
    if labels.ndim == 2:
        write_labels(path, labels, pixel_size_um=size)
        return [path]
    if not 2 < labels.ndim <= 4:
        raise InputError(f"{path} cannot hold labels of shape {labels.shape}, expected times, slices, Y, X")
    planes = labels.reshape(-1, *labels.shape[-2:])
    for plane in planes:
        validate_labels(plane)
    unsigned = np.uint16 if labels.max(initial=0) <= np.iinfo(np.uint16).max else np.uint32
    dtype: np.dtype[Any] = np.dtype(np.int32 if labels.min(initial=0) < 0 else unsigned)
    axes = axes_of(labels.shape[:-2], attributes.get("axis_labels") or (), origin)
    write_stack(
        path,
        (plane.astype(dtype) for plane in planes),
        axes,
        plane_shape=labels.shape[-2:],
        dtype=dtype,
        name=Path(path).stem,
    )
    return [path]
