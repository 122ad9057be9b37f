"""Layouts: where cells lie and what outline they have, as label images."""

import math
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dinocell.labels import Labels, cell_areas, number_pieces, relabel
from dinocell.synthesis import outlines
from dinocell.synthesis.fields import chance, fractal_noise, log_uniform, smooth_noise
from dinocell.synthesis.outlines import Outlines

Layout = Callable[[np.random.Generator, int, float], Labels]
"""Function of a random generator, the side of the image and a median diameter, both in pixels."""

MOST_CELLS = 700
"""Most cells of a layout that paints them one by one, which bounds its time."""


def round_cells(rng: np.random.Generator, size: int, diameter: float) -> Labels:
    """Place roundish cells, apart or in clumps."""
    elongation = (1.0, float(rng.uniform(1.1, 2.2)))
    number = _number(rng, size, diameter, (0.08, 0.8))
    shapes = outlines.ellipses(rng, number, elongation, float(rng.uniform(0.02, 0.2)))
    return _scatter(rng, size, diameter, shapes)


def nuclei(rng: np.random.Generator, size: int, diameter: float) -> Labels:
    """Place ellipses, apart or in clumps, with small fragments beside them in some images."""
    number = _number(rng, size, diameter, (0.05, 0.7))
    shapes = outlines.ellipses(rng, number, (1.0, float(rng.uniform(1.2, 2.4))), log_uniform(rng, 0.02, 0.15))
    small = rng.random(number) < (0.08 if chance(rng, 0.25) else 0)
    shapes[small] *= rng.uniform(0.3, 0.6, (int(small.sum()), 1, 1)).astype(np.float32)
    return _scatter(rng, size, diameter, shapes)


def spread_cells(rng: np.random.Generator, size: int, diameter: float) -> Labels:
    """Place cells with blunt corners, as they are when they spread on glass."""
    return _scatter(rng, size, diameter, outlines.polygons(rng, _number(rng, size, diameter, (0.1, 0.85))))


def spindle_cells(rng: np.random.Generator, size: int, diameter: float) -> Labels:
    """Place spindles, side by side or in all directions."""
    return _scatter(rng, size, diameter, outlines.spindles(rng, _number(rng, size, diameter, (0.05, 0.6))))


def stellate_cells(rng: np.random.Generator, size: int, diameter: float) -> Labels:
    """Place cells with arms."""
    return _scatter(rng, size, diameter, outlines.stellates(rng, _number(rng, size, diameter, (0.05, 0.5))))


def mixed_cells(rng: np.random.Generator, size: int, diameter: float) -> Labels:
    """Place round, spread, pointed and stellate cells beside each other."""
    number = _number(rng, size, diameter, (0.1, 0.7))
    kinds = (
        outlines.ellipses(rng, number, (1, 2), 0.15),
        outlines.polygons(rng, number),
        outlines.spindles(rng, number),
        outlines.stellates(rng, number),
    )
    shares = rng.dirichlet(np.ones(len(kinds)))
    chosen = rng.choice(len(kinds), number, p=shares)
    return _scatter(rng, size, diameter, np.stack(kinds)[chosen, np.arange(number)])


def rod_chains(rng: np.random.Generator, size: int, diameter: float) -> Labels:
    """Place rods end to end in chains, as bacteria and yeasts grow."""
    number = _number(rng, size, diameter, (0.05, 0.5))
    shapes = outlines.rods(rng, number)
    lengths = np.ptp(shapes[..., 0], axis=1) * diameter
    links = int(rng.integers(2, 9))
    starts = np.arange(number) % links == 0
    angles = np.where(starts, rng.uniform(0, 2 * math.pi, number), rng.normal(0, 0.25, number))
    steps = lengths * rng.uniform(0.95, 1.05, number)
    centres = np.zeros((number, 2))
    for index in range(number):
        if starts[index]:
            centres[index] = rng.uniform(0, size, 2)
            continue
        angles[index] += angles[index - 1]
        middle = (angles[index] + angles[index - 1]) / 2
        step = (steps[index] + steps[index - 1]) / 2
        centres[index] = centres[index - 1] + step * np.array([math.cos(middle), math.sin(middle)])
    placed = outlines.place(shapes, centres, np.full(number, diameter), angles)
    return paint(placed, size, overlap=0.3)


def packed_rods(rng: np.random.Generator, size: int, diameter: float) -> Labels:
    """Place rods side by side in colonies of one direction."""
    shape = outlines.rods(rng, 1)
    stretch = float(np.ptp(shape[..., 0]) / np.ptp(shape[..., 1]))
    angle = float(rng.uniform(0, math.pi))
    seeds = _lattice(rng, size, diameter, stretch, angle, jitter=0.12)
    seeds = seeds[_grown(rng, seeds, size, diameter)][:MOST_CELLS]
    number = len(seeds)
    shapes = np.repeat(shape, number, axis=0)
    diameters = diameter * np.exp(rng.normal(0, 0.08, number))
    return paint(
        outlines.place(shapes, seeds, diameters, angle + rng.normal(0, 0.12, number)), size, overlap=0.3
    )


def colonies(rng: np.random.Generator, size: int, diameter: float) -> Labels:
    """Place cells that touch all round in colonies with free, round edges."""
    seeds = _lattice(rng, size, diameter, float(rng.uniform(1, 1.4)), float(rng.uniform(0, math.pi)), 0.3)
    seeds = seeds[_grown(rng, seeds, size, diameter)]
    labels, distance = _nearest_seed(rng, seeds, size, diameter)
    reach = diameter * rng.uniform(0.5, 0.75, len(seeds) + 1).astype(np.float32)
    return np.where(distance < reach[labels], labels, 0).astype(np.int32)


def sheet(rng: np.random.Generator, size: int, diameter: float) -> Labels:
    """Fill the image with cells, edge to edge; now and then one is missing."""
    stretch = 1.0 if chance(rng, 0.6) else float(rng.uniform(1.2, 2.5))
    seeds = _lattice(
        rng, size, diameter, stretch, float(rng.uniform(0, math.pi)), jitter=float(rng.uniform(0.12, 0.4))
    )
    labels, _ = _nearest_seed(rng, seeds, size, diameter)
    if chance(rng, 0.3):
        missing = rng.random(len(seeds) + 1) < rng.uniform(0.02, 0.2)
        labels = np.where(missing[labels], 0, labels)
    return labels.astype(np.int32)


def paint(placed: Outlines, size: int, *, overlap: float, over: float = 0.0) -> Labels:
    """Paint outlines one after the other.

    Parameters
    ----------
    placed : float32 array, shape (N, V, 2)
        Vertices (x, y) in pixels.
    size : int
        Side of the image.
    overlap : float
        Largest share of a cell that may lie on earlier ones; a cell with more is left out.
    over : float
        Share of the cells that cover earlier ones; the others go below them.

    Returns
    -------
    int32 array, shape (size, size)
        Ids are those of the outlines, from 1, with gaps.
    """
    labels = np.zeros((size, size), np.int32)
    corners = np.clip(np.floor(placed.min(axis=1)).astype(int), 0, size)
    ends = np.clip(np.ceil(placed.max(axis=1)).astype(int) + 1, 0, size)
    points = np.round(placed * 16).astype(np.int32)  # in sixteenths of a pixel
    for index, ((x0, y0), (x1, y1)) in enumerate(zip(corners, ends, strict=True)):
        if x1 <= x0 or y1 <= y0:
            continue
        window = labels[y0:y1, x0:x1]
        mask = np.zeros(window.shape, np.uint8)
        cv2.fillPoly(mask, [points[index] - (16 * x0, 16 * y0)], 1, shift=4)
        inside = mask > 0
        covered = inside & (window > 0)
        if np.count_nonzero(covered) > overlap * np.count_nonzero(inside):
            continue
        above = (index * 0.618) % 1 < over
        window[inside if above else inside & ~covered] = index + 1
    return labels


def tidy(labels: Labels, least_area: float) -> Labels:
    """Return labels of which each is one 4-connected piece of at least an area, renumbered 1…N."""
    pieces = number_pieces(labels, corners=False)
    areas = cell_areas(pieces)
    owner = np.zeros(len(areas), np.int32)
    owner[pieces.ravel()] = labels.ravel()
    largest = np.zeros(int(labels.max(initial=0)) + 1, np.int64)
    order = np.argsort(areas[1:], kind="stable") + 1
    largest[owner[order]] = order  # the last of an owner, its largest piece, stays
    keep = np.zeros(len(areas), bool)
    keep[largest[largest > 0]] = True
    keep &= areas >= least_area
    return relabel(np.where(keep[pieces], labels, 0))


def _number(rng: np.random.Generator, size: int, diameter: float, coverage: tuple[float, float]) -> int:
    """Draw the number of cells that cover some share of the image."""
    share = rng.uniform(*coverage)
    return int(np.clip(share * size**2 / (math.pi / 4 * diameter**2), 3, MOST_CELLS))


def _scatter(rng: np.random.Generator, size: int, diameter: float, shapes: Outlines) -> Labels:
    """Paint outlines at random places, in clumps by chance, of one direction by chance."""
    number = len(shapes)
    centres = rng.uniform(0, size, (number, 2))
    if chance(rng, 0.5):
        clumps = rng.uniform(0, size, (max(1, number // int(rng.integers(3, 30))), 2))
        spread = diameter * rng.uniform(0.6, 2.5)
        share = rng.random(number) < rng.uniform(0.3, 1.0)
        near = clumps[rng.integers(len(clumps), size=number)] + rng.normal(0, spread, (number, 2))
        centres = np.where(share[:, None], near, centres)
    turn = 0.25 if chance(rng, 0.3) else 10.0
    angles = rng.uniform(0, math.pi) + rng.normal(0, turn, number)
    diameters = diameter * np.exp(np.clip(rng.normal(0, rng.uniform(0.05, 0.3), number), -0.8, 0.8))
    placed = outlines.place(shapes, centres, diameters, angles)
    return paint(placed, size, overlap=float(rng.uniform(0.05, 0.4)), over=float(rng.uniform(0, 0.6)))


def _lattice(
    rng: np.random.Generator, size: int, diameter: float, stretch: float, angle: float, jitter: float
) -> NDArray[np.float64]:
    """Draw places on a hexagonal lattice, a cell's area apart, stretched along an angle, and jittered."""
    spacing = diameter * math.sqrt(math.pi / (2 * math.sqrt(3)))
    reach = size * 0.75 + 2 * diameter
    rows = np.arange(-reach * math.sqrt(stretch), reach * math.sqrt(stretch), spacing * math.sqrt(3) / 2)
    columns = np.arange(-reach / math.sqrt(stretch), reach / math.sqrt(stretch), spacing)
    y, x = np.meshgrid(rows, columns, indexing="ij")
    x = x + np.where(np.arange(len(rows)) % 2, spacing / 2, 0)[:, None]
    points = np.stack([x, y], axis=-1).reshape(-1, 2) + rng.uniform(0, spacing, 2)
    points += rng.normal(0, jitter * spacing, points.shape)
    points *= (math.sqrt(stretch), 1 / math.sqrt(stretch))
    cos, sin = math.cos(angle), math.sin(angle)
    places = points @ np.array([[cos, sin], [-sin, cos]]) + size / 2
    near = np.all((places > -2 * diameter) & (places < size + 2 * diameter), axis=1)
    return rng.permutation(places[near])


def _grown(rng: np.random.Generator, seeds: NDArray[Any], size: int, diameter: float) -> NDArray[np.bool_]:
    """Choose the places that colonies cover: where a smooth field is high."""
    scale = log_uniform(rng, 2.5 * diameter, max(3 * diameter, size / 2))
    field = fractal_noise(rng, (size, size), scale)
    rows, columns = np.clip(seeds[:, ::-1], 0, size - 1).astype(int).T
    values = field[rows, columns]
    chosen = values > np.quantile(values, rng.uniform(0.1, 0.85))
    chosen[:2] = True
    return np.asarray(chosen)


def _nearest_seed(
    rng: np.random.Generator, seeds: NDArray[Any], size: int, diameter: float
) -> tuple[Labels, NDArray[np.float32]]:
    """Return for each pixel the number of the nearest seed, from 1, and how far it is; edges meander."""
    pad = math.ceil(2 * diameter) + 2
    side = size + 2 * pad
    places = np.clip(np.round(seeds + pad), 0, side - 1).astype(int)
    free = np.full((side, side), 255, np.uint8)
    free[places[:, 1], places[:, 0]] = 0
    distance, nearest = cv2.distanceTransformWithLabels(
        free, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    numbers = np.zeros(int(nearest.max()) + 1, np.int32)
    numbers[nearest[places[:, 1], places[:, 0]]] = np.arange(1, len(places) + 1)
    y, x = np.indices((size, size), dtype=np.float32) + np.float32(pad)
    for scale, strength in ((diameter, 0.12), (diameter / 4, 0.03)):
        reach = np.float32(diameter * strength * rng.uniform(0, 1.5))
        y = y + reach * smooth_noise(rng, (size, size), max(scale, 2))
        x = x + reach * smooth_noise(rng, (size, size), max(scale, 2))
    labels = cv2.remap(
        numbers[nearest].astype(np.float32), x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT
    )
    far = cv2.remap(distance, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return labels.astype(np.int32), np.asarray(far, np.float32)
