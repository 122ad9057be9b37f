"""Settings of the random changes of training crops."""

import functools

from pydantic import Field

from dinocell.settings import Range, Section


class BasicAugmentation(Section):
    """Changes that may happen to a crop of any image; the defaults are the method paper's."""

    flip: float = Field(default=0.5, ge=0, le=1, description="Probability of a horizontal flip")
    rotate: float = Field(default=0.5, ge=0, le=1, description="Probability of a rotation by −180…180°")
    scale: Range = Field(default=(0.8, 1.2), description="Range of the zoom, drawn log-uniformly")
    stretch: float = Field(
        default=1.0, ge=1, le=3, description="Most that one axis is stretched against the other; 1: none"
    )
    brightness: Range = Field(default=(0.95, 1.05), description="Range of the factor on intensities")
    contrast: Range = Field(
        default=(1.0, 1.0), description="Range of the factor on the difference from the crop's mean"
    )
    gamma: Range = Field(
        default=(1.0, 1.0), description="Range of the exponent on intensities in [0, 1], drawn log-uniformly"
    )
    blur: float = Field(
        default=0.0,
        ge=0,
        le=10,
        description="Largest sigma of a Gaussian blur in pixels, for half of the crops",
    )
    noise: float = Field(
        default=0.0,
        ge=0,
        le=100,
        description="Largest deviation of noise in grey levels, for half of the crops",
    )
    invert: float = Field(default=0.5, ge=0, le=1, description="Probability of inverted intensities")


class Augmentation(BasicAugmentation):
    """Changes that may happen to a training crop, also those that need labels, colours or other datasets."""

    diameter: Range | None = Field(
        default=None,
        description="Range of the diameter in pixels, drawn log-uniformly, to which an image's median "
        "cell is zoomed, times scale; null: scale alone is the zoom",
    )
    zoom_limits: Range = Field(
        default=(0.2, 4.0), description="Smallest and largest zoom where diameter is given"
    )
    gray_mix: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Probability that a colour image becomes gray by random weights of its colours, or of "
        "their optical densities near those of haematoxylin",
    )
    no_clahe: float = Field(
        default=0.0, ge=0, le=1, description="Probability of a crop to which no CLAHE was applied"
    )
    histogram: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Probability of gray values spread, partly, as in a crop of another dataset",
    )
    fourier: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Probability of low frequencies as strong, partly, as in a crop of another dataset",
    )
    border: float = Field(
        default=0.0, ge=0, le=1, description="Probability of a constant border, which hides cells"
    )
    empty: float = Field(
        default=0.0, ge=0, le=1, description="Probability of a crop of noise, which has no cells"
    )


NO_AUGMENTATION = Augmentation(flip=0, rotate=0, scale=(1, 1), brightness=(1, 1), invert=0)


@functools.cache
def complete(settings: BasicAugmentation) -> Augmentation:
    """Add the settings that are not basic, at their defaults, where they are missing."""
    if isinstance(settings, Augmentation):
        return settings
    return Augmentation(**settings.model_dump())
