"""Random ways from colours to gray: other dyes, other cameras."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dinocell.preprocess.preprocessing import Preprocessing

HAEMATOXYLIN = (1.48, -0.16, 0.51)
"""Weights of the optical densities of red, green and blue that show haematoxylin and hide eosin.

The densities of both dyes are (.65, .70, .29) and (.07, .99, .11), see Ruifrok & Johnston, Quantification of
histochemical staining by color deconvolution, 2001.
This is the first row of the pseudo-inverse of their unit vectors.
"""

SAMPLED = 2**14
"""Pixels, about, on whose mix the percentiles are measured."""

_DENSITY = -np.log((np.arange(256, dtype=np.float32) + 1) / 256)


@dataclass(frozen=True)
class GrayMix:
    """Gray of colours: a weighted sum of intensities, or of optical densities.

    Attributes
    ----------
    weights : (float, float, float)
        Of red, green and blue.
    density : bool
        Whether densities are summed; gray then is the light that passes.
    bottom, top : float
        Sums that become black and white.
    """

    weights: tuple[float, float, float]
    density: bool
    bottom: float = 0.0
    top: float = 255.0

    def sums(self, colour: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute the weighted sums: float32 array, shape (Y, X)."""
        weights = np.asarray(self.weights, np.float32)
        if not self.density:
            return np.asarray(colour.astype(np.float32) @ weights)
        return np.asarray(np.exp(-(_DENSITY[colour] @ weights)) * 255)

    def apply(self, colour: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Compute the gray image (Y, X) of colours (Y, X, 3)."""
        if self.bottom >= self.top:
            return np.zeros(colour.shape[:2], np.uint8)
        shares = (self.sums(colour) - self.bottom) / (self.top - self.bottom)
        return np.asarray(np.rint(np.clip(shares, 0, 1) * 255), np.uint8)


def draw_mix(colour: NDArray[np.uint8], preprocessing: Preprocessing, rng: np.random.Generator) -> GrayMix:
    """Draw a mix for an image: any weights of its colours, or, as often, densities near haematoxylin's.

    Parameters
    ----------
    colour : uint8 array, shape (Y, X, 3)
        Of the whole image: its percentiles become black and white.
    preprocessing : Preprocessing
        Gives the percentiles.
    rng : numpy.random.Generator

    Returns
    -------
    GrayMix
    """
    density = bool(rng.random() < 0.5)
    near_haematoxylin = np.asarray(HAEMATOXYLIN) + rng.normal(0, 0.15, 3)
    red, green, blue = (near_haematoxylin if density else rng.dirichlet((1, 1, 1))).tolist()
    mix = GrayMix((red, green, blue), density)
    step = max(1, math.isqrt(colour.shape[0] * colour.shape[1] // SAMPLED))
    sample = mix.sums(colour[::step, ::step])
    bottom, top = np.percentile(sample, [preprocessing.low_percentile, preprocessing.high_percentile])
    return GrayMix(mix.weights, density, float(bottom), float(top))
