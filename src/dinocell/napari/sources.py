"""Image layers as planes to be segmented: arrays of NumPy, dask or zarr, stacks, colour, several levels."""

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dinocell.inference.inputs import InputImage
from dinocell.io.pixel_size import PixelSize, plausible_size
from dinocell.io.planes import Pixels
from dinocell.napari.origins import Origin, origin_of

Index = tuple[int, ...]
"""Numbers of a plane along the axes of a layer before Y and X; empty where there are none."""

LARGE_PIXELS = 2**26
"""Pixels of a plane from which it is segmented block by block, as by `dinocell segment-large`."""


@dataclass(frozen=True, eq=False)
class LayerImage:
    """Pixels of an image layer, plane by plane.

    Attributes
    ----------
    name : str
    levels : tuple of array, each (..., Y, X) or (..., Y, X, S)
        The finest first; of NumPy, dask or zarr.
    colour : bool
        Whether the last axis holds red, green and blue.
    axis_names : tuple of str
        Of the axes before Y and X.
    pixel_size_yx_um : (float, float) or None
        Height and width of a pixel in micrometres.
    origin : Origin or None
        Where it was read from; None where the plugin did not read it.
    channels : mapping of str to array
        Layers of all channels of the same file, in which cells are measured; empty with one channel.
    """

    name: str
    levels: tuple[Any, ...]
    colour: bool = False
    axis_names: tuple[str, ...] = ()
    pixel_size_yx_um: PixelSize | None = None
    origin: Origin | None = None
    channels: Mapping[str, Any] = field(default_factory=dict)

    @property
    def counts(self) -> tuple[int, ...]:
        """Lengths of the axes before Y and X."""
        return tuple(self.levels[0].shape[: -3 if self.colour else -2])

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.levels[0].shape[-3:-1] if self.colour else self.levels[0].shape[-2:]
        return int(height), int(width)

    @property
    def is_large(self) -> bool:
        """Flag: a plane is segmented block by block."""
        return math.prod(self.plane_shape) > LARGE_PIXELS

    @property
    def path(self) -> Path:
        """File of the image; where there is none, the name of the layer."""
        return Path(self.name.replace("/", "_") or "image") if self.origin is None else self.origin.path

    def indices(self) -> list[Index]:
        """List all planes, the last axis fastest."""
        return list(itertools.product(*map(range, self.counts)))

    def read(self, index: Index) -> InputImage:
        """Read one plane at full resolution, with the channels that cells are measured in.

        Parameters
        ----------
        index : tuple of int
            One of `indices`.
        """
        channels = {name: _plane(data, index) for name, data in self.channels.items()}
        return InputImage(_plane(self.levels[0], index), channels, self.pixel_size_yx_um, self.path)


def _plane(data: Any, index: Index) -> Pixels:
    return np.asarray(data[(*index, ...)])


def describe_layer(layer: Any, others: Iterable[Any] = ()) -> LayerImage:
    """Describe an image layer of napari.

    Parameters
    ----------
    layer : napari.layers.Image
    others : iterable of napari.layers.Layer
        Layers that may hold other channels of the same file.
    """
    origin = origin_of(layer.metadata)
    before = -3 if layer.rgb else -2
    levels = tuple(layer.data) if layer.multiscale else (layer.data,)
    names = tuple(str(name) for name in layer.axis_labels[:-2])
    return LayerImage(
        layer.name,
        levels,
        bool(layer.rgb),
        names[: len(levels[0].shape[:before])],
        _pixel_size(layer) or (None if origin is None else origin.pixel_size_yx_um),
        origin,
        _channels(layer, origin, others),
    )


def _pixel_size(layer: Any) -> PixelSize | None:
    """Return height and width of a pixel in micrometres, where the units of the layer are lengths."""
    sizes = []
    for step, unit in zip(layer.scale[-2:], layer.units[-2:], strict=True):
        try:
            sizes.append(float((float(step) * unit).to("micrometer").magnitude))
        except (AttributeError, TypeError):  # a pixel is not a length
            return None
    return plausible_size((sizes[0], sizes[1]))


def _channels(layer: Any, origin: Origin | None, others: Iterable[Any]) -> dict[str, Any]:
    if origin is None or origin.channel is None:
        return {}
    found = {origin.channel: (origin.channel_name, layer.data)}
    for other in others:
        own = origin_of(other.metadata)
        same = own is not None and (own.path, own.scene) == (origin.path, origin.scene)
        if own is None or not same or own.channel is None or other.ndim != layer.ndim:
            continue
        found.setdefault(own.channel, (own.channel_name, other.data))
    named = [found[number] for number in sorted(found)]
    finest = {name: data[0] if layer.multiscale else data for name, data in named}
    return finest if len(finest) > 1 else {}
