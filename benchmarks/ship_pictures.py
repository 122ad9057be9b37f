"""Pictures of the documentation that the shipped weights decide: the first page, options, failures."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dinocell import DINOCellPipeline, read_image, read_labels
from dinocell.measure.outlines import draw_outlines
from dinocell.preprocess.intensity_range import find_range, to_uint8
from dinocell.preprocess.preprocessing import to_grayscale
from dinocell.preprocess.resampling import resize

Picture = NDArray[np.uint8]

STRIP = 26
"""Height in pixels of the line of text above a panel."""

WHITE = 255

EFFECTS: dict[str, tuple[str, tuple[int, int], Sequence[Any]]] = {
    "cells_max": ("phase_2", (0, 0), (0.3, None, 0.8)),
    "cell_fill": ("fluorescence_1", (40, 40), (0.02, None, 0.5)),
    "merge": ("phase_2", (140, 260), (0.2, None, 1.0)),
    "diameter": ("histology_1", (0, 0), (120, None, 12)),
}
"""Options whose effect is shown: a sample image, the corner of what is shown of it, and values; None is the
default."""

SIDE = 240
"""Side in pixels of what is shown of an image."""

FAILURES: dict[str, tuple[str, str, tuple[int, int], tuple[str, Any]]] = {
    "squamous": (
        "val/dsb2018_nuclei/5d58600efa0c_img.png",
        "val/dsb2018_nuclei/5d58600efa0c_masks.png",
        (0, 0),
        ("target", "nuclei"),
    ),
    "dim": (
        "val/dsb2018_nuclei/feffce59a1a3_img.png",
        "val/dsb2018_nuclei/feffce59a1a3_masks.png",
        (0, 0),
        ("target", "nuclei"),
    ),
    "small": (
        "val/c2c12_phase/t9_img.png",
        "val/c2c12_phase/t9_masks.png",
        (0, 0),
        ("diameter", 6),
    ),
}
"""Images that the model segments badly: image, annotation, corner of what is shown, and what helps."""


def first_page(pipeline: DINOCellPipeline, samples: Path) -> Picture:
    """Draw the outlines on the five sample images."""

    def outlined(name: str, shape: tuple[int, int]) -> Picture:
        image = _sample(samples, name)
        labels = pipeline.run(image).labels
        shown = in_eight_bits(image)
        side = min(labels.shape) if shape[0] == shape[1] else None
        part = (slice(0, side), slice(0, side))
        rows, columns = (np.arange(n) * m // n for n, m in zip(shape, labels[part].shape, strict=True))
        return draw_outlines(_grown(shown[part], shape), labels[part][np.ix_(rows, columns)])

    top = beside([outlined(name, (384, 512)) for name in ("phase_1", "phase_2")], 8)
    names = ("fluorescence_1", "fluorescence_2", "histology_1")
    bottom = beside([outlined(name, (340, 340)) for name in names], 6)
    return np.concatenate([top, np.full((8, top.shape[1], 3), WHITE, np.uint8), bottom])


def effect(pipeline: DINOCellPipeline, samples: Path, option: str) -> Picture:
    """Draw a sample image as an option at three values lets it be segmented."""
    name, (top, left), values = EFFECTS[option]
    image = _sample(samples, name)
    part = (slice(top, top + SIDE), slice(left, left + SIDE))
    flag = f"--{option.replace('_', '-')}"
    panels = []
    for value in values:
        result = pipeline.run(image, **({} if value is None else {option: value}))
        title = "default" if value is None else f"{flag} {value:g}"
        panels.append(titled(_enlarged(in_eight_bits(image)[part], result.labels[part]), title))
    return beside(panels, 8)


def failure(pipeline: DINOCellPipeline, data: Path, name: str) -> Picture:
    """Draw part of an image as it was annotated, as it is segmented by default, and with another option."""
    image, masks, (top, left), (option, value) = FAILURES[name]
    pixels, annotated = read_image(data / image).pixels, read_labels(data / masks)
    part = (slice(top, top + SIDE), slice(left, left + SIDE))
    flag = f"--{option.replace('_', '-')} {value}"
    labels = {"annotated": annotated, "default": pipeline.run(pixels).labels}
    labels[flag] = pipeline.run(pixels, **{option: value}).labels
    shown = in_eight_bits(pixels)[part]
    return beside([titled(_enlarged(shown, ids[part]), title) for title, ids in labels.items()], 8)


def in_eight_bits(image: NDArray[Any]) -> Picture:
    """Scale an image to 8 bits, colours alike."""
    gray = to_grayscale(image)
    return to_uint8(image if image.ndim == 2 else image[..., :3], find_range(gray))


def titled(panel: Picture, title: str) -> Picture:
    """Return a panel with a line of text above it."""
    strip = np.full((STRIP, panel.shape[1], 3), WHITE, np.uint8)
    cv2.putText(strip, title, (4, STRIP - 9), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([strip, panel])


def beside(pictures: Iterable[Picture], gap: int) -> Picture:
    """Return pictures of one height side by side."""
    first, *others = pictures
    white = np.full((len(first), gap, 3), WHITE, np.uint8)
    return np.concatenate([first, *(part for other in others for part in (white, other))], axis=1)


def _enlarged(shown: Picture, labels: NDArray[Any]) -> Picture:
    """Draw outlines on an image at one and a half times its size."""
    shape = (int(labels.shape[0] * 1.5), int(labels.shape[1] * 1.5))
    rows, columns = (np.arange(n) * m // n for n, m in zip(shape, labels.shape, strict=True))
    return draw_outlines(_grown(shown, shape), labels[np.ix_(rows, columns)], width=2)


def _grown(shown: Picture, shape: tuple[int, int]) -> Picture:
    if shown.ndim == 2:
        return resize(shown, shape)
    return np.stack([resize(shown[..., sample], shape) for sample in range(3)], axis=-1)


def _sample(samples: Path, name: str) -> NDArray[Any]:
    return read_image(samples / f"{name}_img.png").pixels
