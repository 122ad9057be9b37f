"""Settings of the training of a decoder of clicks."""

from pathlib import Path

from pydantic import Field

from dinocell.settings import Section
from dinocell.training.augmentation import BasicAugmentation

STRONG = BasicAugmentation(
    scale=(0.5, 2.0), brightness=(0.8, 1.2), contrast=(0.25, 1.25), gamma=(0.6, 1.6), blur=2.0, noise=12.0
)
"""Changes that leave some cells so faint that the network alone misses them: people click on such cells."""


class ClickConfig(Section):
    """Settings of the training of a decoder of clicks.

    Attributes
    ----------
    data : tuple of Path
        Folders of annotated images; each counts alike, whatever its size.
    model : str or Path
        The checkpoint whose features are used, and whose decoder it begins as.
    output : Path
        Folder of the checkpoint with the decoder of clicks; the state to resume from lies there as well.
    steps, batch_size : int
    crop_size : int
        Side of a crop in pixels.
    learning_rate : float
        Of what begins at zero; what begins as the trained decoder learns at a third of it.
    most_clicks : int
        A sample has one click, or up to so many: the others lie where the error is largest.
    images : int
        Images that are read of a folder, at most, spread over it.
    seed : int
    augmentation : BasicAugmentation
    """

    data: tuple[Path, ...] = Field(min_length=1)
    model: str | Path = "nano"
    output: Path
    steps: int = Field(default=2000, ge=1)
    batch_size: int = Field(default=16, ge=1)
    crop_size: int = Field(default=128, ge=64, multiple_of=32)
    learning_rate: float = Field(default=1e-3, gt=0)
    most_clicks: int = Field(default=3, ge=1)
    images: int = Field(default=120, ge=1)
    seed: int = 0
    augmentation: BasicAugmentation = STRONG
