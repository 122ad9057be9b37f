"""Golden files of the page: what Python computes on the samples, for the browser to be held to.

python benchmarks/ship_page.py         writes page/test/golden/, which ``npm test`` in page/ reads

A distance map is stored as 16-bit PNG, in 65,535ths: labels, measurements and edits are computed from the map
that comes back, so that both sides begin with the same numbers. Hashes are the first 16 digits of SHA-256.
"""

import hashlib
import itertools
import json
import shutil
from collections.abc import Iterator
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from dinocell import DINOCellPipeline, Thresholds, distance_to_labels, measure_cells
from dinocell.editing.journal import hash_labels
from dinocell.io.images import read_image
from dinocell.labels import Target
from dinocell.measure.confidence import cell_confidence
from dinocell.measure.outlines import cell_polygons
from dinocell.postprocess.small_cells import remove_small
from dinocell.preprocess.preprocessing import preprocess, to_grayscale
from dinocell.preprocess.resampling import resize
from dinocell.web.static_site import describe_model
from ship_page_edits import edit_steps
from ship_page_files import as_type, write_files
from ship_pages import GOLDENS, ROOT, SHIPPED

DIGITS = 16
EVERY = 4999
"""Pixels from one value of a resized map that is stored to the next."""

ENLARGED = 4
"""Times that a part of a sample is enlarged, for cells that are larger than the model knows."""

Labels = NDArray[np.int32]
DistanceMap = NDArray[np.float32]

FLOODS = (
    {},
    {"cells_max_threshold": 0.2, "cell_fill_threshold": 0.05, "merge": 0.9, "regrow": True},
    {"cells_max_threshold": 0.8, "cell_fill_threshold": 0.0, "merge": 1.0, "regrow": False},
    {"cells_max_threshold": 0.35, "cell_fill_threshold": 0.4, "merge": 0.3, "regrow": True},
    {"cells_max_threshold": 0.5, "cell_fill_threshold": 0.25, "merge": 0.6, "regrow": True},
)
"""Thresholds that maps are flooded with, beside the model's own."""

VARIANTS = (
    # rows, columns, dtype, scale
    (slice(0, 200), slice(0, 256), "uint8", 1.0),
    (slice(0, 200), slice(3, 204), "uint8", 0.35),
    (slice(0, 201), slice(3, 204), "uint8", 0.5),
    (slice(0, 200), slice(0, 200), "uint8", 0.5),
    (slice(10, 171), slice(5, 250), "uint16", 0.7719),
    (slice(10, 171), slice(5, 250), "float32", 1.37),
    (slice(0, 90), slice(0, 100), "uint16", 2.0),
    (slice(0, 90), slice(0, 100), "float32", 0.25),
)
"""Parts of samples that are preprocessed, as what, and at which scale."""


def digest(array: NDArray[Any]) -> str:
    """Return the hash of an array's bytes."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:DIGITS]


def preprocessing_cases(name: str, pixels: NDArray[Any]) -> Iterator[dict[str, Any]]:
    """Yield parts of an image, and the hash of what becomes of each."""
    for rows, columns, dtype, scale in VARIANTS:
        part = as_type(pixels[rows, columns], dtype)
        made = preprocess(part, scale=scale)
        box = [rows.start, rows.start + part.shape[0], columns.start, columns.start + part.shape[1]]
        yield {
            "sample": name,
            "box": box,
            "dtype": dtype,
            "scale": scale,
            "shape": list(made.shape),
            "sha256": digest(made),
        }
    margin = np.pad(pixels, ((9, 0), (0, 14), *[(0, 0)] * (pixels.ndim - 2)))
    yield {"sample": name, "margin": [9, 14], "scale": 0.8, "sha256": digest(preprocess(margin, scale=0.8))}


def flood_cases(distance: DistanceMap, own: Thresholds) -> Iterator[dict[str, Any]]:
    """Yield thresholds, and the hash of the labels that they give; of maps with plateaus, too."""
    for given, steps, fill_holes in itertools.product(FLOODS, (0, 16), (False, True)):
        thresholds = own.replaced(**given)
        heights = np.rint(distance * np.float32(steps)) / np.float32(steps) if steps else distance
        labels = distance_to_labels(heights, thresholds=thresholds, fill_holes=fill_holes)
        yield {
            "thresholds": thresholds.model_dump(),
            "steps": steps,
            "fill_holes": fill_holes,
            "count": int(labels.max()),
            "labels": hash_labels(labels)[:DIGITS],
        }


def resized_cases(distance: DistanceMap) -> Iterator[dict[str, Any]]:
    """Yield sizes, and every so many of the map's values in each."""
    height, width = distance.shape
    for shape in ((height + 33, width + 70), (height * 2, width * 2), (height + 9, width - 40)):
        yield {"shape": shape, "every": EVERY, "values": resize(distance, shape).ravel()[::EVERY].tolist()}


def shrunk_cases(pixels: NDArray[Any], pipeline: DINOCellPipeline) -> Iterator[dict[str, Any]]:
    """Yield what is found where cells are enlarged, so that the image is shrunk again."""
    part = pixels[:144, :144]
    large = np.repeat(np.repeat(part, ENLARGED, axis=0), ENLARGED, axis=1)
    found = pipeline.run(large)
    yield {
        "box": [0, part.shape[0], 0, part.shape[1]],
        "times": ENLARGED,
        "target": found.parameters.target,
        "scale": found.parameters.scale,
        "count": found.count,
        "pixels": int((found.labels > 0).sum()),
    }


def stored_map(name: str) -> DistanceMap:
    """Return the map of a sample that is stored."""
    stored = imagecodecs.png_decode((GOLDENS / f"{name}_map.png").read_bytes())
    return (stored / np.float32(65535)).astype(np.float32)


def cut_cells(distance: DistanceMap, thresholds: Thresholds, target: Target) -> tuple[Labels, int, int]:
    """Return labels of a map, pixels below which cells were removed, and how many were."""
    return remove_small(distance_to_labels(distance, thresholds=thresholds), "auto", target)


def computed_golden(name: str, thresholds: Thresholds, target: Target) -> dict[str, Any]:
    """Return what is computed of a sample and its stored map, for which no network is needed."""
    pixels, distance = read_sample(name), stored_map(name)
    labels, min_size, removed = cut_cells(distance, thresholds, target)
    table = measure_cells(
        labels, to_grayscale(pixels), confidence=cell_confidence(labels, distance), pixel_size_um=0.325
    )
    polygons = cell_polygons(labels)
    outlines = [[[ring.tolist() for ring in piece.rings] for piece in pieces] for pieces in polygons.values()]
    return {
        "gray": digest(preprocess(pixels)),
        "labels": hash_labels(labels)[:DIGITS],
        "min_size": min_size,
        "removed": removed,
        "table": {column: values.tolist() for column, values in table.items()},
        "outlines": hashlib.sha256(json.dumps(outlines).encode()).hexdigest()[:DIGITS],
        "floods": list(flood_cases(distance, thresholds)),
        "resized": list(resized_cases(distance)),
        "preprocessing": list(preprocessing_cases(name, pixels)),
    }


def computed_edits(seed: int, name: str, thresholds: Thresholds, target: Target) -> list[dict[str, Any]]:
    """Return two sequences of corrections of a sample; of some, the second goes without a map."""
    distance = stored_map(name)
    labels, _, _ = cut_cells(distance, thresholds, target)
    return [
        edit_steps(labels, distance, seed),
        edit_steps(labels, None if seed % 2 else distance, seed + 100),
    ]


def sample_golden(name: str, pipeline: DINOCellPipeline) -> dict[str, Any]:
    """Store the map of a sample, and return what was found with the network."""
    pixels = read_sample(name)
    found = pipeline.run(pixels)
    stored = np.rint(found.distance_map * 65535).astype(np.uint16)
    (GOLDENS / f"{name}_map.png").write_bytes(bytes(imagecodecs.png_encode(stored, 9)))
    return {
        "target": found.parameters.target,
        "scale": found.parameters.scale,
        "count": found.count,
        "warnings": list(found.parameters.warnings),
        "labels_of_run": hash_labels(found.labels)[:DIGITS],
        "shrunk": list(shrunk_cases(pixels, pipeline)),
    }


def sample_names() -> list[str]:
    """List the samples."""
    return [path.stem.removesuffix("_img") for path in sorted((ROOT / "samples").glob("*_img.png"))]


def read_sample(name: str) -> NDArray[Any]:
    """Return the pixels of a sample."""
    return read_image(ROOT / "samples" / f"{name}_img.png").pixels


def write_goldens() -> None:
    """Write all golden files, in the same bytes every time."""
    shutil.rmtree(GOLDENS, ignore_errors=True)
    GOLDENS.mkdir(parents=True)
    pipeline = DINOCellPipeline(str(SHIPPED), device="cpu", engine="onnx")
    samples, edits = {}, {}
    for seed, name in enumerate(sample_names()):
        found = sample_golden(name, pipeline)
        target = found["target"]
        thresholds = pipeline.config.targets[target].thresholds
        samples[name] = found | computed_golden(name, thresholds, target)
        edits[name] = computed_edits(seed, name, thresholds, target)
    weights = pipeline.config.training["weights"]
    _write("samples.json", {"weights": weights, "config": describe_model(SHIPPED), "samples": samples})
    _write("edits.json", edits)
    _write("files.json", list(write_files(GOLDENS / "files")))


def _write(name: str, value: Any) -> None:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    (GOLDENS / name).write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    write_goldens()
