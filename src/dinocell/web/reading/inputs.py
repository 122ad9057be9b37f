"""Image of the archive as `dinocell.inference` takes it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.inference.inputs import InputImage
from dinocell.io.pixel_size import PixelSize
from dinocell.web.archive.records import ImageRecord


def input_of(
    image: ImageRecord, planes: NDArray[Any], channel: int | None, size: PixelSize | None
) -> InputImage:
    """Return an image to segment from its channels, ``(C, Y, X)``."""
    if image.rgb and channel is None:
        return InputImage(np.ascontiguousarray(planes.transpose(1, 2, 0)), {}, size)
    channels = {each.name: np.ascontiguousarray(planes[each.index]) for each in image.channels}
    pixels = channels[image.channels[channel or 0].name]
    return InputImage(pixels, channels if len(channels) > 1 else {}, size)
