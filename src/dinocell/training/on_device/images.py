"""Images, labels and distance maps of all datasets on a device."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dinocell.labels import IGNORE
from dinocell.postprocess.distance import labels_to_distance
from dinocell.preprocess.resampling import resize, scaled_shape
from dinocell.training.annotated import Annotated
from dinocell.training.on_device.planes import Planes

LEVELS = 4
"""Sizes that an image is kept in: 1, 1/2, 1/4 and 1/8."""

SAMPLED_COLOURS = 4096
"""Pixels of a colour image whose mix gives the percentiles."""

BYTES_PER_PIXEL = 11
"""Most that a pixel of an image takes on the device, with all its levels, colours, labels and map."""


class DeviceImages:
    """Pixels, labels and maps, from which a batch of windows is read at once.

    Parameters
    ----------
    items : sequence of Annotated
    device : torch.device

    Attributes
    ----------
    images : Planes
        Of uint8, as preprocessed.
    levels : Planes
        Of uint8, before CLAHE where that is known; `LEVELS` planes an image.
    colours : Planes
        The same in colours; of the images that have some.
    colour_numbers : int64 array
        Number of each image among those with colours, or −1.
    before_clahe : bool array
        Whether CLAHE is still to be applied to the levels of an image.
    samples : uint8 tensor, shape (C, SAMPLED_COLOURS, 3)
        Random pixels of the images with colours.
    """

    def __init__(self, items: Sequence[Annotated], device: torch.device) -> None:
        gray = [item.image if item.gray is None else item.gray for item in items]
        coloured = [item.colour for item in items if item.colour is not None]
        self.images = Planes([item.image for item in items], device)
        self.levels = Planes([level for plane in gray for level in _shrink(plane)], device)
        self.colours = Planes([level for plane in coloured for level in _shrink(plane)], device)
        has_colours = np.array([item.colour is not None for item in items])
        self.colour_numbers = np.where(has_colours, np.cumsum(has_colours) - 1, -1)
        self.before_clahe = np.array([item.gray is not None and item.preprocessing.clahe for item in items])
        rng = np.random.default_rng(0)
        sampled = [rng.choice(plane.reshape(-1, 3), SAMPLED_COLOURS) for plane in coloured]
        self.samples = torch.from_numpy(np.array(sampled, np.uint8).reshape(-1, SAMPLED_COLOURS, 3)).to(
            device
        )
        largest = max(int(item.labels.max(initial=0)) for item in items)
        kind = np.int16 if largest <= np.iinfo(np.int16).max else np.int32
        self._labels = Planes([item.labels.astype(kind) for item in items], device)
        maps = [labels_to_distance(item.labels) if item.distance is None else item.distance for item in items]
        self._maps = Planes([plane.astype(np.float16) for plane in maps], device)
        depths = [_depths(item.labels, plane) for item, plane in zip(items, maps, strict=True)]
        starts = np.cumsum([0, *map(len, depths[:-1])])
        self._depths = torch.from_numpy(np.concatenate(depths)).to(device)
        self._starts = torch.from_numpy(starts.astype(np.int64)).to(device)

    def target(self, numbers: Tensor, x: Tensor, y: Tensor, zooms: Tensor) -> tuple[Tensor, Tensor]:
        """Compute distance maps and valid pixels.

        The maps were measured before the zoom. A pixel that is `d` deep lies ``d − ½`` pixels inside the
        cell's outline, so after the zoom it is ``(d − ½) · zoom + ½`` deep. The same holds for the
        deepest pixel, by whose depth that is divided.

        Parameters
        ----------
        numbers : int64 tensor, shape (B,)
        x, y : float32 tensor, shape (B, Y, X)
            Coordinates in the images.
        zooms : float32 tensor, shape (B,)

        Returns
        -------
        float32 tensor, bool tensor, shape (B, Y, X)
        """
        labels = self._labels.nearest(numbers, x, y)
        shares = torch.zeros(x.shape, device=x.device)
        for found, weight in self._labels.corners(numbers, x, y):
            same = self._labels.values[found] == labels  # a neighbour is outside, as background is
            shares += self._maps.values[found].float() * weight * same
        deepest = self._depths[self._starts[numbers][:, None, None] + labels.clamp(min=0).long()]
        zoom = zooms[:, None, None]
        most = ((deepest - 0.5) * zoom + 0.5).clamp(min=1)
        depth = torch.minimum(((shares * deepest - 0.5) * zoom + 0.5).clamp(min=1), most)
        return torch.where(labels > 0, depth / most, 0), labels != IGNORE


def _shrink(plane: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    shape = (plane.shape[0], plane.shape[1])
    return [resize(plane, scaled_shape(shape, 0.5**level)) for level in range(LEVELS)]


def _depths(labels: NDArray[np.int32], distance: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the depth in pixels of each cell's deepest pixel, by id: 1 over the map at its outline."""
    inside = (labels > 0) & (distance > 0)
    least = np.ones(int(labels.max(initial=0)) + 1, np.float32)
    np.minimum.at(least, labels[inside], distance[inside])
    return np.asarray(1 / least, np.float32)
