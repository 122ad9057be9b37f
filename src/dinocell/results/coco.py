"""Cells as COCO JSON: one image a file, a run-length mask a cell."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.io.planes import PathLike
from dinocell.io.saving import atomic_path, encode_provenance
from dinocell.labels import IGNORE, validate_labels
from dinocell.results.result_format import PlaneFormat, PlaneResult, Stack, StackPart

CATEGORY = "cell"
"""Name of the only category."""

_DESCRIPTION = "cells segmented by DINOCell"


def write_coco(
    path: PathLike,
    labels: NDArray[Any],
    *,
    image_name: str | None = None,
    scores: NDArray[Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write cells as COCO JSON, which pycocotools reads; masks are exact, with holes.

    Masks are run lengths that are not packed: any program can read and write them. An annotation's id is the
    cell's. Ignored pixels (−1), if there are any, are a crowd, which COCO's evaluation ignores.

    Parameters
    ----------
    path : path
        An existing file is replaced in one step.
    labels : integer array, shape (Y, X)
    image_name : str, optional
        Name of the image file; the JSON's own name as PNG otherwise.
    scores : float array, shape (N,), optional
        How sure each cell is, in the order of the ids; those that are not finite are left out.
    provenance : mapping, optional
        How the cells were made, of what JSON can hold; stored as ``info.provenance``.

    Raises
    ------
    InputError
        If `labels` is not a label image or is empty, there is not one score a cell, or the provenance cannot
        be stored.
    OutputError
        If the file cannot be written.
    """
    array = validate_labels(labels)
    if not array.size:
        raise InputError(f"{path} cannot hold labels of shape {array.shape}, expected at least one pixel")
    cells = _annotations(array)
    numbers = [None] * len(cells) if scores is None else np.asarray(scores, np.float64).tolist()
    if len(numbers) != len(cells):
        raise InputError(f"scores has {len(numbers)} values, expected {len(cells)}: one a cell")
    for cell, score in zip(cells, numbers, strict=True):
        if score is not None and math.isfinite(score):
            cell["score"] = score
    if crowd := _annotations(np.where(array == IGNORE, max(int(array.max()), 0) + 1, 0)):
        cells.append(crowd[0] | {"iscrowd": 1})
    info: dict[str, Any] = {"description": _DESCRIPTION}
    if provenance:
        info["provenance"] = json.loads(encode_provenance(provenance))
    height, width = array.shape
    name = f"{Path(path).stem}.png" if image_name is None else image_name
    document = {
        "info": info,
        "images": [{"id": 1, "file_name": name, "height": height, "width": width}],
        "categories": [{"id": 1, "name": CATEGORY}],
        "annotations": cells,
    }
    text = json.dumps(document, allow_nan=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="ascii")


def _annotations(array: NDArray[Any]) -> list[dict[str, Any]]:
    """List every cell with its mask, box and area, in the order of the ids."""
    height, width = array.shape
    flat = array.ravel(order="F")  # COCO's runs go down the columns
    starts = np.flatnonzero(np.diff(flat, prepend=0))
    lengths = np.diff(starts, append=flat.size)
    is_cell = flat[starts] > 0
    starts, lengths = starts[is_cell], lengths[is_cell]
    order = np.argsort(flat[starts], kind="stable")
    starts, lengths = starts[order], lengths[order]
    ids, firsts = np.unique(flat[starts], return_index=True)
    annotations = []
    bounds = [*firsts.tolist(), starts.size]
    for cell, first, last in zip(ids.tolist(), bounds[:-1], bounds[1:], strict=True):
        at, runs = starts[first:last], lengths[first:last]
        annotations.append(
            {
                "id": cell,
                "image_id": 1,
                "category_id": 1,
                "iscrowd": 0,
                "area": int(runs.sum()),
                "bbox": _box(at, runs, height),
                "segmentation": {"size": [height, width], "counts": _counts(at, runs, flat.size)},
            }
        )
    return annotations


def _box(starts: NDArray[np.int64], lengths: NDArray[np.int64], height: int) -> list[int]:
    """Return left, top, width and height of runs down the columns."""
    (left, top), (right, bottom) = divmod(starts, height), divmod(starts + lengths - 1, height)
    # A run that goes on in the next column covers both ends of a column.
    wraps = bool((right > left).any())
    first, last = (0, height - 1) if wraps else (int(top.min()), int(bottom.max()))
    return [int(left.min()), first, int(right.max() - left.min()) + 1, last - first + 1]


def _counts(starts: NDArray[np.int64], lengths: NDArray[np.int64], size: int) -> list[int]:
    """Return the lengths of runs, outside and inside by turns, from the first pixel to the last."""
    bounds = np.stack([starts, starts + lengths], axis=1).ravel()
    counts = np.diff(bounds, prepend=0, append=size)
    return [int(count) for count in (counts if counts[-1] else counts[:-1])]


class CocoFormat(PlaneFormat):
    """COCO annotations with run-length masks."""

    name = "coco"
    ending = "_coco.json"
    meaning = "COCO annotations with run-length masks"

    def write(self, path: Path, result: PlaneResult) -> None:
        """Write the annotations, with the confidence of each cell as its score."""
        write_coco(
            path,
            result.labels,
            image_name=result.source.name,
            scores=result.confidence,
            provenance=result.provenance,
        )

    def join(self, path: Path, parts: Sequence[StackPart], stack: Stack) -> None:
        """Write the cells of all planes, an image a plane; ids of annotations count on, cells keep theirs."""
        height, width = stack.plane_shape
        images = [
            {"id": number, "file_name": stack.source.name, "height": height, "width": width}
            | {"t": part.t, "z": part.z or 0}
            for number, part in enumerate(parts, 1)
        ]
        head = {
            "info": {"description": _DESCRIPTION, "provenance": stack.provenance},
            "images": images,
            "categories": [{"id": 1, "name": CATEGORY}],
            "annotations": [],
        }
        before, after = json.dumps(head, allow_nan=False).rsplit("]", 1)
        with atomic_path(path) as temporary, temporary.open("w", encoding="ascii") as file:
            file.write(before)
            count = 0
            for image, part in enumerate(parts, 1):  # one at a time: a long movie has more cells than memory
                for cell in json.loads(part.path.read_text("ascii"))["annotations"]:
                    own = {"id": count + 1, "image_id": image, "label": cell["id"]}
                    file.write((", " if count else "") + json.dumps(cell | own))
                    count += 1
            file.write(f"]{after}")
