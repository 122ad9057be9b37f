"""Image files of many kinds: for `ship_page.py`, which holds the readers of the browser to Python's."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from dinocell.io.images import read_image

DIGITS = 16
_UUID = "urn:uuid:00000000-0000-0000-0000-000000000000"  # the same bytes every time


def as_type(pixels: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Return pixels of 8 bits as another type, with values that fill it."""
    if dtype == "uint16":
        return pixels.astype(np.uint16) * np.uint16(211) + np.uint16(57)
    if dtype == "float32":
        return pixels.astype(np.float32) * np.float32(0.37) - np.float32(11)
    return pixels


def write_files(folder: Path) -> Iterator[dict[str, Any]]:
    """Write small image files of many kinds to a new folder, and yield what Python reads of each."""
    folder.mkdir()
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
        "ome": (
            deep,
            {"ome": True, "metadata": {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25, "UUID": _UUID}},
        ),
    }
    for name, (pixels, options) in tiffs.items():
        tifffile.imwrite(folder / f"{name}.tif", pixels, **options)
    pngs = {"gray": gray, "deep": deep, "rgb": colour, "rgb_deep": as_type(colour, "uint16")}
    pngs |= {"rgba": np.dstack([colour, gray]), "gray_alpha": np.dstack([gray, gray])}
    for name, pixels in pngs.items():
        (folder / f"{name}.png").write_bytes(bytes(imagecodecs.png_encode(pixels)))
    pillow = Image.fromarray(gray)
    pillow.quantize(16).save(folder / "palette.png")
    pillow.point(lambda value: 255 * (value > 99)).convert("1").save(folder / "bits.png")
    for path in sorted(folder.iterdir()):
        image = read_image(path)
        little = np.ascontiguousarray(image.pixels, image.pixels.dtype.newbyteorder("<"))
        yield {
            "name": path.name,
            "dtype": str(image.pixels.dtype),
            "shape": list(image.pixels.shape),
            "pixel_size": image.pixel_size_yx_um,
            "sha256": hashlib.sha256(little.tobytes()).hexdigest()[:DIGITS],
        }
