"""Images that a model is fine-tuned on: found, read, and brought to the scale that they are learned at."""

import hashlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.datasets.annotates import recorded_target
from dinocell.datasets.corrected import Corrected, find_corrected
from dinocell.datasets.formats import open_originals
from dinocell.datasets.items import AnnotatedImage, Item
from dinocell.datasets.repairs import Repairs
from dinocell.errors import FileFormatError, InputError
from dinocell.inference.pipeline import DINOCellPipeline
from dinocell.labels import DEFAULT_TARGET, IGNORE, Target
from dinocell.models.network.dinocell import DINOCell
from dinocell.preprocess.preprocessing import preprocess
from dinocell.preprocess.resampling import resize_labels
from dinocell.training.finetuning.config import FinetuneConfig
from dinocell.training.finetuning.result import ImageRead, LeftOut


@dataclass(frozen=True)
class OwnImage:
    """An image to learn from, in the file's own pixels and as the network sees it.

    Attributes
    ----------
    name : str
    pixels : array, shape (Y, X) or (Y, X, C)
        As in the file.
    gray, labels : array, shape (Y', X')
        As the network sees them: rescaled by the diameter where one is given.
    notes : tuple of str
    diameter : float or None
        Typical cell diameter in pixels of the file.
    drawn : int32 array, shape (Y, X), optional
        The labels as in the file, where those above are rescaled.
    """

    name: str
    pixels: NDArray[Any]
    gray: NDArray[np.uint8]
    labels: NDArray[np.int32]
    notes: tuple[str, ...]
    diameter: float | None = None
    drawn: NDArray[np.int32] | None = None

    @property
    def annotation(self) -> NDArray[np.int32]:
        """Labels in the file's own pixels, which scores are measured on."""
        return self.labels if self.drawn is None else self.drawn


def find_items(config: FinetuneConfig) -> tuple[Sequence[Corrected | Item], dict[str, str]]:
    """List the annotated images; and those that are left out, with the reasons."""
    if config.corrected is not None:
        return find_corrected(
            config.images,
            config.corrected,
            channel=config.channel,
            accept_unchanged=config.accept_unchanged,
        )
    split = config.split_components
    return open_originals(config.images, config.masks, channel=config.channel, split_components=split), {}


def find_target(config: FinetuneConfig, model: DINOCell, items: Sequence[Corrected | Item]) -> Target:
    """Return the target that the labels are of; the model must have a map for it."""
    target = recorded_target(config.images, config.masks, config.corrected, given=config.annotates)
    if target is None:
        outlined = {getattr(item, "outlined", None): item.name for item in items}
        if len(outlined.keys() - {None}) > 1:
            found = " and ".join(f"{each} in {name}" for each, name in outlined.items() if each)
            raise InputError(f"segment outlined {found}, expected one target to learn: give annotates")
        target = next((each for each in outlined if each), DEFAULT_TARGET)
    known = model.config.targets
    if target not in known:
        raise InputError(
            f"the labels are of {target}, but model {config.model!r} has a map of {' and '.join(known)} "
            "only: choose another model, or correct annotates"
        )
    return target


def read_images(
    items: Sequence[Corrected | Item], pipeline: DINOCellPipeline, config: FinetuneConfig
) -> Generator[LeftOut | ImageRead, None, list[OwnImage]]:
    """Read the images, and return those that something can be learned from.

    Yields
    ------
    LeftOut, ImageRead
        One an image.

    Raises
    ------
    DINOCellError
        If an image cannot be read or used, two are the same, or no cell is left.
    """
    images = []
    for item in items:
        annotated, repairs = item.read_repaired() if isinstance(item, Corrected) else (item.read(), Repairs())
        image = _to_network_input(item, annotated, pipeline, config)
        if (image.labels == IGNORE).all():
            yield LeftOut(item.name, "all of it is ignored")
            continue
        images.append(image)
        cells = np.unique(annotated.labels)
        yield ImageRead(item.name, int((cells > 0).sum()), repairs, annotated.notes)
    if not any((image.labels > 0).any() for image in images):
        raise InputError("there is no annotated cell in any image: annotate some")
    _check_copies(images)
    return images


def _check_copies(images: Sequence[OwnImage]) -> None:
    """Raise for one image under two names: cross-validation would learn from what it scores."""
    seen: dict[bytes, str] = {}
    for image in images:
        content = str(image.gray.shape).encode() + image.gray.tobytes()
        first = seen.setdefault(hashlib.sha256(content).digest(), image.name)
        if first != image.name:
            raise InputError(f"{first} and {image.name} are the same image: remove one of them")


def _to_network_input(
    item: Corrected | Item, annotated: AnnotatedImage, pipeline: DINOCellPipeline, config: FinetuneConfig
) -> OwnImage:
    if annotated.needs_channel:
        raise InputError(
            f"{item.files[0]} has {annotated.pixels.shape[2]} channels, expected one or RGB: "
            "choose one with --channel, by name or number"
        )
    diameter = config.diameter
    if (physical := config.physical_diameter) is not None:
        diameter = physical.in_pixels(annotated.pixel_size_yx_um, item.files[0])
    try:
        scale = pipeline.predictor.scale_for(diameter, config.annotates or DEFAULT_TARGET)
        gray = preprocess(annotated.pixels, pipeline.predictor.preprocessing, scale=scale)
    except InputError as error:
        raise FileFormatError(f"{item.files[0]}: {error}") from error
    labels = resize_labels(annotated.labels, (gray.shape[0], gray.shape[1]))
    return OwnImage(
        item.name, annotated.pixels, gray, labels, annotated.notes, diameter, drawn=annotated.labels
    )
