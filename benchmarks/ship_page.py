"""Golden files of the page: what Python computes on the samples, for the browser to be held to.

python benchmarks/ship_page.py         writes page/test/golden/, which ``node --test page/test/`` reads

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
import tifffile
from numpy.typing import NDArray
from PIL import Image

from dinocell import DINOCellPipeline, LabelEditor, Thresholds, distance_to_labels, measure_cells
from dinocell.editing.journal import edit_line, hash_labels, start_line
from dinocell.errors import InputError
from dinocell.io.images import read_image
from dinocell.measure.confidence import cell_confidence
from dinocell.measure.outlines import cell_polygons
from dinocell.postprocess.small_cells import remove_small
from dinocell.preprocess.preprocessing import preprocess, to_grayscale
from dinocell.preprocess.resampling import resize
from dinocell.web.static_site import describe_model
from ship_pages import GOLDENS, ROOT, SHIPPED

DIGITS = 16
STEPS = 70
"""Edits a sample."""

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


def as_type(pixels: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Return pixels of 8 bits as another type, with values that fill it."""
    if dtype == "uint16":
        return pixels.astype(np.uint16) * np.uint16(211) + np.uint16(57)
    if dtype == "float32":
        return pixels.astype(np.float32) * np.float32(0.37) - np.float32(11)
    return pixels


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


def sample_golden(name: str, pipeline: DINOCellPipeline) -> tuple[dict[str, Any], Labels, DistanceMap]:
    """Return what is computed of a sample; labels and map from what is stored of the map."""
    pixels = read_image(ROOT / "samples" / f"{name}_img.png").pixels
    found = pipeline.run(pixels)
    stored = np.rint(found.distance_map * 65535).astype(np.uint16)
    (GOLDENS / f"{name}_map.png").write_bytes(bytes(imagecodecs.png_encode(stored, 9)))
    distance = (stored / np.float32(65535)).astype(np.float32)
    parameters, target = found.parameters, found.parameters.target
    labels = distance_to_labels(distance, thresholds=parameters.thresholds)
    labels, min_size, removed = remove_small(labels, "auto", target)
    table = measure_cells(
        labels, to_grayscale(pixels), confidence=cell_confidence(labels, distance), pixel_size_um=0.325
    )
    polygons = cell_polygons(labels)
    outlines = [[[ring.tolist() for ring in piece.rings] for piece in pieces] for pieces in polygons.values()]
    golden = {
        "target": target,
        "scale": parameters.scale,
        "count": found.count,
        "warnings": list(parameters.warnings),
        "labels_of_run": hash_labels(found.labels)[:DIGITS],
        "gray": digest(preprocess(pixels)),
        "labels": hash_labels(labels)[:DIGITS],
        "min_size": min_size,
        "removed": removed,
        "table": {column: values.tolist() for column, values in table.items()},
        "outlines": hashlib.sha256(json.dumps(outlines).encode()).hexdigest()[:DIGITS],
        "floods": list(flood_cases(distance, parameters.thresholds)),
        "resized": list(resized_cases(distance)),
        "shrunk": list(shrunk_cases(pixels, pipeline)),
        "preprocessing": list(preprocessing_cases(name, pixels)),
    }
    return golden, labels, distance


class Hand:
    """Somebody who corrects labels at random.

    Parameters
    ----------
    editor : LabelEditor
    seed : int
    """

    def __init__(self, editor: LabelEditor, seed: int) -> None:
        self._editor, self._random = editor, np.random.default_rng(seed)
        self._shape = editor.labels.shape

    def next(self) -> tuple[str, dict[str, Any]]:
        """Return the name of a method of the editor, and what it is called with."""
        makers = (self._add, self._add, self._box, self._outline, self._split, self._split, self._line)
        makers += (self._merge, self._delete, self._paint, self._paint)
        if self._random.random() < 0.12:
            return str(self._random.choice(["undo", "undo", "redo"])), {}
        return makers[self._random.integers(len(makers))]()

    def _ids(self) -> list[int]:
        ids = np.unique(self._editor.labels)
        return [int(each) for each in ids[ids > 0]]

    def _point(self, where: NDArray[np.bool_] | None = None) -> list[float]:
        """Return a point of a mask, anywhere without one; not always the centre of a pixel."""
        if where is None or not where.any():
            place = self._random.integers((0, 0), self._shape)
        else:
            rows, columns = np.nonzero(where)
            number = self._random.integers(rows.size)
            place = np.array([rows[number], columns[number]])
        off = self._random.choice([0.0, 0.25, -0.375])
        return [float(place[0]) + off, float(place[1]) + off]

    def _near(self, point: list[float], reach: int) -> list[float]:
        return [value + float(self._random.integers(-reach, reach + 1)) for value in point]

    def _cell(self) -> int:
        ids = self._ids()
        return ids[self._random.integers(len(ids))] if ids else 1

    def _add(self) -> tuple[str, dict[str, Any]]:
        first = self._point(self._editor.labels == 0)
        given: dict[str, Any] = {"points": [first]}
        if self._random.random() < 0.3:
            given["points"].append(self._near(first, 4))
        if self._random.random() < 0.4:
            given["outside"] = [self._near(first, 12)]
        if self._random.random() < 0.4:
            given["level"] = float(self._random.choice([0.0, 0.05, 0.125, 0.3, 0.9]))
        return "add", given

    def _box(self) -> tuple[str, dict[str, Any]]:
        first = self._point()
        return "add", {"box": [first, self._near(first, 25)]}

    def _outline(self) -> tuple[str, dict[str, Any]]:
        first = self._point()
        return "add", {"outline": [first, *(self._near(first, 20) for _ in range(4))]}

    def _split(self) -> tuple[str, dict[str, Any]]:
        inside = self._editor.labels == self._cell()
        count = 3 if self._random.random() < 0.2 else 2
        return "split", {"points": [[self._point(inside)] for _ in range(count)]}

    def _line(self) -> tuple[str, dict[str, Any]]:
        middle = self._point(self._editor.labels == self._cell())
        return "split", {"line": [self._near(middle, 40), middle, self._near(middle, 40)]}

    def _merge(self) -> tuple[str, dict[str, Any]]:
        cell = self._cell()
        around = np.unique(self._editor.labels[_grown(self._editor.labels == cell)])
        others = [int(each) for each in around if each not in (0, cell)]
        return "merge", {"ids": [cell, *(others[:1] or [self._cell()])]}

    def _delete(self) -> tuple[str, dict[str, Any]]:
        unknown = [99999] if self._random.random() < 0.1 else []
        return "delete", {"ids": [self._cell(), *unknown]}

    def _paint(self) -> tuple[str, dict[str, Any]]:
        row, column = (int(value) for value in self._point())
        radius = int(self._random.integers(2, 14))
        rows, columns = np.indices(self._shape, sparse=True)
        disk = (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
        number = [None, 0, self._cell()][self._random.integers(3)]
        runs = []
        for y in np.flatnonzero(disk.any(axis=1)):
            beside = np.flatnonzero(disk[y])
            runs.append([int(y), int(beside[0]), int(beside.size)])
        return "paint", {"id": number, "mask": runs}


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a mask with the pixels beside it."""
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    grown[:, 1:] |= mask[:, :-1]
    grown[:, :-1] |= mask[:, 1:]
    return grown


def edit_steps(labels: Labels, distance: DistanceMap | None, seed: int) -> dict[str, Any]:
    """Return edits at random, and what became of the labels after each."""
    editor = LabelEditor(labels, distance)
    hand, steps = Hand(editor, seed), []
    for _ in range(STEPS):
        name, given = hand.next()
        step: dict[str, Any] = {"edit": name, **given}
        try:
            edit = _call(editor, name, given)
            if edit is not None and name not in ("undo", "redo"):
                line = edit_line(edit)
                step |= {"made": edit.ids, "notes": edit.notes}
                step["journal"] = hashlib.sha256(line.encode()).hexdigest()[:DIGITS]
        except InputError as error:
            step["error"] = str(error)
        step["labels"] = hash_labels(editor.labels)[:DIGITS]
        steps.append(step)
    return {"map": distance is not None, "start": start_line(labels), "steps": steps}


def _call(editor: LabelEditor, name: str, given: dict[str, Any]) -> Any:
    if name != "paint":
        return getattr(editor, name)(**given)
    mask = np.zeros(editor.labels.shape, bool)
    for row, first, count in given["mask"]:
        mask[row, first : first + count] = True
    return editor.paint(mask, given["id"])


def file_cases() -> Iterator[dict[str, Any]]:
    """Write small image files of many kinds, and yield what is in each."""
    rows, columns = np.indices((37, 50))
    gray = ((rows * 7 + columns * 13) % 251).astype(np.uint8)
    colour = np.stack([gray, 255 - gray, gray // 2], axis=-1)
    deep, floats = as_type(gray, "uint16"), as_type(gray, "float32")
    tiffs: dict[str, tuple[NDArray[Any], dict[str, Any]]] = {
        "plain": (gray, {}),
        "lzw": (deep, {"compression": "lzw", "rowsperstrip": 8}),
        "lzw_difference": (deep, {"compression": "lzw", "predictor": 2}),
        "deflate": (floats, {"compression": "zlib"}),
        "deflate_float": (floats, {"compression": "zlib", "predictor": 3}),
        "packbits": (gray, {"compression": "packbits"}),
        "tiles": (deep, {"tile": (16, 32), "compression": "zlib", "predictor": 2}),
        "rgb": (colour, {"photometric": "rgb"}),
        "rgb_lzw": (colour, {"photometric": "rgb", "compression": "lzw", "predictor": 2}),
        "rgb_planes": (colour.transpose(2, 0, 1), {"photometric": "rgb", "planarconfig": "separate"}),
        "big_endian": (deep, {"byteorder": ">", "compression": "zlib", "predictor": 2}),
        "big_endian_float": (floats, {"byteorder": ">", "compression": "zlib", "predictor": 3}),
        "bigtiff": (deep, {"bigtiff": True}),
        "signed": (deep.astype(np.int32) - 30000, {}),
        "double": (floats.astype(np.float64), {}),
        "sized": (gray, {"resolution": (1e4 / 0.5, 1e4 / 0.25), "resolutionunit": "centimeter"}),
        "imagej": (deep, {"imagej": True, "resolution": (2.0, 2.0), "metadata": {"unit": "um"}}),
        "ome": (deep, {"ome": True, "metadata": {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25}}),
    }
    for name, (pixels, options) in tiffs.items():
        tifffile.imwrite(GOLDENS / "files" / f"{name}.tif", pixels, **options)
    pngs = {"gray": gray, "deep": deep, "rgb": colour, "rgb_deep": as_type(colour, "uint16")}
    pngs |= {"rgba": np.dstack([colour, gray]), "gray_alpha": np.dstack([gray, gray])}
    for name, pixels in pngs.items():
        (GOLDENS / "files" / f"{name}.png").write_bytes(bytes(imagecodecs.png_encode(pixels)))
    pillow = Image.fromarray(gray)
    pillow.quantize(16).save(GOLDENS / "files" / "palette.png")
    pillow.point(lambda value: 255 * (value > 99)).convert("1").save(GOLDENS / "files" / "bits.png")
    for path in sorted((GOLDENS / "files").iterdir()):
        image = read_image(path)
        little = np.ascontiguousarray(image.pixels, image.pixels.dtype.newbyteorder("<"))
        yield {
            "name": path.name,
            "dtype": str(image.pixels.dtype),
            "shape": list(image.pixels.shape),
            "pixel_size": image.pixel_size_yx_um,
            "sha256": digest(little),
        }


def write_goldens() -> None:
    """Write all golden files, in the same bytes every time."""
    shutil.rmtree(GOLDENS, ignore_errors=True)
    (GOLDENS / "files").mkdir(parents=True)
    pipeline = DINOCellPipeline(str(SHIPPED), device="cpu", engine="onnx")
    samples, edits = {}, {}
    for seed, path in enumerate(sorted((ROOT / "samples").glob("*_img.png"))):
        name = path.stem.removesuffix("_img")
        samples[name], labels, distance = sample_golden(name, pipeline)
        edits[name] = [
            edit_steps(labels, distance, seed),
            edit_steps(labels, None if seed % 2 else distance, seed + 100),
        ]
    weights = pipeline.config.training["weights"]
    _write("samples.json", {"weights": weights, "config": describe_model(SHIPPED), "samples": samples})
    _write("edits.json", edits)
    _write("files.json", list(file_cases()))


def _write(name: str, value: Any) -> None:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    (GOLDENS / name).write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    write_goldens()
