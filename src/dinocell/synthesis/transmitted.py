"""Transmitted light: the phase that cells add, seen by phase contrast, DIC, defocus, or measured as such.

Cells are thin and clear, so they hardly absorb light; they delay it. A microscope turns the delay, the
*phase* in radians, into brightness. Phase contrast and defocus are computed as the optics do it, on the
complex field ``exp(i phase)``: halo, shade-off, fringes, the reversed contrast of thick cells come with it.
"""

import math

import numpy as np

from dinocell.synthesis.camera import add_debris, read_out
from dinocell.synthesis.fields import (
    Field,
    blur,
    chance,
    fractal_noise,
    log_uniform,
    smooth_noise,
    smooth_step,
    spots,
)
from dinocell.synthesis.scene import Scene


def phase_contrast(rng: np.random.Generator, scene: Scene) -> Field:
    """Render cells as a phase contrast objective shows them.

    The ring in the objective delays and dims the light that no cell has bent. It also catches some light that
    cells have bent a little, which is the image's low frequencies: hence halo and shade-off.

    Returns
    -------
    float32 array, shape (Y, X)
        Intensity about 0.2 to 0.8, with noise.
    """
    phase = cell_phase(rng, scene, strength=log_uniform(rng, 0.08, 0.7), rounded=0.15)
    return _through_ring(rng, scene, phase)


def confluent_phase(rng: np.random.Generator, scene: Scene) -> Field:
    """Render a sheet of cells with dark or bright lines between them, in phase contrast or defocused.

    Returns
    -------
    float32 array, shape (Y, X)
        Intensity about 0.2 to 0.8, with noise.
    """
    phase = cell_phase(rng, scene, strength=log_uniform(rng, 0.08, 0.6), rounded=0.02)
    width = float(np.clip(scene.diameter * rng.uniform(0.02, 0.1), 0.7, 5))
    uneven = np.clip(1 + 0.5 * smooth_noise(rng, scene.shape, scene.diameter * 0.5), 0.1, 2)
    line = scene.line(width) * uneven
    if chance(rng, 0.5):
        seen = _through_ring(rng, scene, phase - np.float32(rng.uniform(-0.6, 0.8)) * line)
    else:
        seen = _defocused(rng, scene, 0.5 * phase, line * np.float32(rng.uniform(0.05, 0.5)))
    for share, scale, most in ((0.5, rng.uniform(1, 4), 0.2), (0.5, rng.uniform(0.08, 0.4), 0.1)):
        if chance(rng, share):
            patches = fractal_noise(rng, scene.shape, max(1.5, scene.diameter * scale))
            seen = seen * (1 + np.float32(rng.uniform(0.02, most)) * patches)
    return seen


def interference_contrast(rng: np.random.Generator, scene: Scene) -> Field:
    """Render cells in DIC: brightness is the slope of the phase along one direction, as if lit from a side.

    Returns
    -------
    float32 array, shape (Y, X)
        Intensity about 0.5, with noise.
    """
    phase = cell_phase(rng, scene, strength=log_uniform(rng, 0.3, 3), rounded=0.1)
    phase = blur(phase, float(np.clip(scene.diameter * 0.01, 0.5, 2)))
    angle = rng.uniform(0, 2 * math.pi)
    down, right = (np.gradient(phase, axis=axis) for axis in (0, 1))
    slope = np.asarray(right * math.cos(angle) + down * math.sin(angle), np.float32)
    slope = slope / np.float32(max(float(np.quantile(np.abs(slope[::3, ::3]), 0.98)), 1e-4))
    shear = np.float32(log_uniform(rng, 0.1, 0.7))
    seen = np.sin(rng.uniform(0.5, 1.2) + np.clip(shear * slope, -1.2, 1.2)) ** 2
    return _record(rng, scene, seen.astype(np.float32), contrast=log_uniform(rng, 0.04, 0.5))


def brightfield(rng: np.random.Generator, scene: Scene) -> Field:
    """Render cells in defocused brightfield: bright and dark fringes, and a little absorption.

    Returns
    -------
    float32 array, shape (Y, X)
        Intensity about 0.5, with noise.
    """
    phase = cell_phase(rng, scene, strength=log_uniform(rng, 0.4, 2.5), rounded=0.1)
    absorbed = np.float32(rng.uniform(0, 0.15) if chance(rng, 0.5) else 0.0) * scene.relative_depth**0.5
    return _defocused(rng, scene, phase, absorbed)


def quantitative_phase(rng: np.random.Generator, scene: Scene) -> Field:
    """Render the phase itself, as holography measures it: thick is bright, the background grainy.

    Returns
    -------
    float32 array, shape (Y, X)
        From 0 to about 1, with noise.
    """
    phase = cell_phase(rng, scene, strength=1.0, rounded=0.15, thin_edges=True)
    phase = add_debris(rng, phase, scene.diameter, most=1.0)
    seen = blur(phase, float(np.clip(scene.diameter * rng.uniform(0.005, 0.04), 0.4, 3)))
    grain = log_uniform(rng, 1.5, max(2.0, scene.diameter * 0.4))
    seen += np.float32(log_uniform(rng, 0.005, 0.12)) * fractal_noise(rng, scene.shape, grain, octaves=2)
    tilt = np.float32(log_uniform(rng, 0.01, 0.3)) * smooth_noise(rng, scene.shape, max(scene.shape) * 0.7)
    if chance(rng, 0.35):  # what a Fourier mask or a flattened background leaves: dark surroundings
        seen = seen - np.float32(rng.uniform(0.1, 0.5)) * blur(phase, scene.diameter * rng.uniform(0.4, 1.2))
    seen = seen + tilt
    low, high = np.quantile(seen[::3, ::3], (0.001, 0.999))
    return read_out(rng, (seen - np.float32(low)) / np.float32(max(high - low, 1e-3)), noisiest=0.06)


def cell_phase(
    rng: np.random.Generator, scene: Scene, *, strength: float, rounded: float, thin_edges: bool = False
) -> Field:
    """Compute by how many radians cells delay the light, for every pixel.

    Parameters
    ----------
    rng : Generator
    scene : Scene
    strength : float
        Radians in the middle of a typical spread cell.
    rounded : float
        Share of cells that are round and thick, as dividing and dying ones are.
    thin_edges : bool
        Whether cells get thin towards their boundary rather than ending in a step.
    """
    floor = rng.uniform(0.05, 0.4) if thin_edges else rng.uniform(0.1, 0.7)
    power = np.float32(rng.uniform(0.4, 1.6))
    height = floor + (1 - floor) * scene.relative_depth**power
    # Neighbours that touch are thinner where they meet, or nobody could see that they are two.
    height *= 1 - np.float32(rng.uniform(0.3, 0.9)) * scene.line(scene.diameter * rng.uniform(0.02, 0.08))
    thick = scene.spread(rng.random(scene.number + 1) < rounded * rng.uniform(0, 2))
    dome = np.sqrt(np.clip(1 - (1 - scene.relative_depth) ** 2, 0, 1))
    height = np.where(thick > 0, np.float32(rng.uniform(1.3, 3)) * dome, height)
    nuclei = (scene.nuclei(rng, (0.08, 0.3)) > 0).astype(np.float32)
    soft = blur(nuclei, max(0.6, scene.diameter * rng.uniform(0.01, 0.05)))
    height = height * (1 + np.float32(rng.uniform(-0.2, 0.7)) * soft)
    phase = height * _organelles(rng, scene, nuclei) * scene.each(rng, 0.75, 1.3)
    return np.float32(strength) * blur(
        (phase * scene.inside).astype(np.float32), max(0.4, scene.diameter * 0.012)
    )


def _organelles(rng: np.random.Generator, scene: Scene, nuclei: Field) -> Field:
    """Draw what fills cells: grains of several sizes, bright vesicles, nucleoli."""
    grain = max(1.2, scene.diameter * rng.uniform(0.03, 0.15))
    texture = 1 + np.float32(log_uniform(rng, 0.02, 0.25)) * fractal_noise(rng, scene.shape, grain)
    if chance(rng, 0.6):
        field = smooth_noise(rng, scene.shape, max(1.2, scene.diameter * rng.uniform(0.02, 0.06)))
        where = 1 - 0.8 * nuclei
        texture += np.float32(log_uniform(rng, 0.1, 1)) * smooth_step(field - 1.8, 0.15) * where
    if chance(rng, 0.6):
        field = smooth_noise(rng, scene.shape, max(1.5, scene.diameter * 0.06))
        texture += np.float32(rng.uniform(0.2, 0.8)) * smooth_step(field - 1.3, 0.15) * nuclei
    return np.asarray(np.maximum(texture, 0.1), np.float32)


def _through_ring(rng: np.random.Generator, scene: Scene, phase: Field) -> Field:
    """Compute the intensity behind a phase ring, positive (dark cells) more often than negative."""
    phase = add_debris(rng, phase, scene.diameter, most=1.5)
    reach = float(np.clip(scene.diameter * log_uniform(rng, 0.04, 0.5), 1.2, 40))
    passed = np.float32(rng.uniform(0.4, 0.9))
    sign = np.float32(1 if chance(rng, 0.2) else -1)
    real, imaginary = np.cos(phase), np.sin(phase)
    low_real, low_imaginary = blur(real, reach), blur(imaginary, reach)
    # (E − L) + passed · (± i) · L, where L is what the ring catches of the field E
    seen_real = real - low_real - sign * passed * low_imaginary
    seen_imaginary = imaginary - low_imaginary + sign * passed * low_real
    seen = (seen_real**2 + seen_imaginary**2) / passed**2
    return _record(rng, scene, seen, contrast=log_uniform(rng, 0.08, 0.45))


def _defocused(rng: np.random.Generator, scene: Scene, phase: Field, absorbed: Field) -> Field:
    """Compute the intensity some way off the focus, by Fresnel's propagator under light of some breadth."""
    phase = add_debris(rng, phase, scene.diameter, most=1.5)
    height, width = scene.shape
    frequency = np.fft.fftfreq(height)[:, None] ** 2 + np.fft.fftfreq(width)[None] ** 2
    defocus = float(np.clip(log_uniform(rng, 0.5, 40), 0.5, 0.02 * scene.diameter**2 + 2))
    defocus *= 1 if chance(rng, 0.5) else -1
    coherence = np.exp(-frequency * log_uniform(rng, 5, 60))
    transfer = np.exp(-1j * math.pi * defocus * frequency) * coherence
    field = np.exp(1j * phase - absorbed)
    seen = np.abs(np.fft.ifft2(np.fft.fft2(field) * transfer)) ** 2
    return _record(rng, scene, seen.astype(np.float32), contrast=log_uniform(rng, 0.1, 0.5))


def _record(rng: np.random.Generator, scene: Scene, seen: Field, contrast: float) -> Field:
    """Bring intensities to a gray background and a contrast, with an objective's blur and noise."""
    typical = np.float32(np.median(seen[::4, ::4]))
    seen = blur(seen - typical, float(np.clip(log_uniform(rng, 0.3, 2), 0, max(0.5, scene.diameter / 14))))
    spread = float(np.quantile(np.abs(seen[::4, ::4]), 0.98))
    gray = np.float32(rng.uniform(0.35, 0.65)) + np.float32(contrast / max(spread, 1e-3)) * seen
    if chance(rng, 0.25):
        gray += np.float32(rng.uniform(-0.25, 0.25)) * blur(
            spots(rng, scene.shape, int(rng.integers(1, 6)), (6, 40)), rng.uniform(3, 12)
        )
    return read_out(rng, gray, noisiest=max(0.004, 0.2 * contrast))
