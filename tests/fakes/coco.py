"""Tiny COCO datasets as LIVECell has them: every kind of mask, every oddity."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.io.saving import write_image

SHAPE = (12, 16)
Mask = NDArray[np.bool_]


def rectangle(y: int, x: int, height: int, width: int) -> Mask:
    """Return the pixels of a rectangle in an image of `SHAPE`."""
    mask = np.zeros(SHAPE, bool)
    mask[y : y + height, x : x + width] = True
    return mask


def outline(y: int, x: int, height: int, width: int) -> list[float]:
    """Return the corners of the same rectangle, as COCO writes a polygon."""
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def runs(mask: Mask) -> dict[str, Any]:
    """Run lengths of a mask down its columns, outside first."""
    counts, inside = [0], False
    for pixel in mask.T.ravel().tolist():
        if pixel != inside:
            counts.append(0)
            inside = pixel
        counts[-1] += 1
    return {"size": list(mask.shape), "counts": counts}


def annotation(image_id: int | str, segmentation: Any, **more: Any) -> dict[str, Any]:
    """Return an annotation with the keys that LIVECell's have."""
    return {
        "image_id": image_id,
        "category_id": 1,
        "bbox": [0, 0, 1, 1],
        "area": 1.0,
        "iscrowd": 0,
        "segmentation": segmentation,
    } | more


def write_coco(
    file: Path,
    images: dict[int, str],
    annotations: list[dict[str, Any]],
    *,
    shape: tuple[int, int] = SHAPE,
    image_files: bool = True,
    by_id: bool = False,
) -> Path:
    """Write a JSON, and below ``images`` beside it a file for each of `images` (id → file name)."""
    listed = [
        {"id": key, "file_name": name, "height": shape[0], "width": shape[1]} for key, name in images.items()
    ]
    numbered = [entry | {"id": 100 + n} for n, entry in enumerate(annotations)]
    content: dict[str, Any] = {"info": {}, "categories": [{"id": 1, "name": "cell"}], "images": listed}
    content["annotations"] = {str(entry["id"]): entry for entry in numbered} if by_id else numbered
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))
    folder = file.parent / "images" / "A172"
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(images.values() if image_files else ()):
        write_image(folder / name, np.full(shape, number + 1, np.uint8))
    return file


def write_fake(folder: Path) -> dict[str, NDArray[np.int32]]:
    """Write ``livecell_coco_val.json`` and its images into a folder; give the labels of every item by name.

    Image *a* has two overlapping polygons and a crowd, *b* a cell of two parts and run lengths, *empty*
    nothing.
    """
    annotations = [
        annotation(7, [outline(1, 1, 6, 6)]),
        annotation(9, [outline(0, 0, 3, 2), outline(8, 10, 2, 4)]),
        annotation(7, [outline(4, 4, 4, 4)]),
        annotation(7, runs(rectangle(0, 0, 10, 6)), iscrowd=1),
        annotation(9, runs(rectangle(3, 5, 4, 4))),
    ]
    write_coco(
        folder / "livecell_coco_val.json", {9: "b.png", 7: "a.png", 8: "empty.png"}, annotations, by_id=True
    )
    a, b = np.zeros(SHAPE, np.int32), np.zeros(SHAPE, np.int32)
    a[:10, :6] = -1
    a[1:7, 1:7] = 1
    a[4:8, 4:8] = 2
    b[0:3, 0:2] = b[8:10, 10:14] = 1
    b[3:7, 5:9] = 2
    return {"a": a, "b": b, "empty": np.zeros(SHAPE, np.int32)}
