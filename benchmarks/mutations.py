"""Sound files of many formats, what in them is structure and what pixels, and damage to either."""

import io
import json
import random
import shutil
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.lib import format as npy_format

from dinocell.io.images import read_image

SAMPLES = Path(__file__).parents[1] / "samples"
_PIXEL_TAGS = (347,)  # JPEGTables: what they decode to has no checksum
# Of these another allowed value makes another picture of the same bytes, which no reader can know.
_REDEFINE = frozenset({254, 256, 257, 262, 266, 270, 317, 322, 323, 338, 339, 42113})
_LIMITS = (b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\x01\0\0\0", b"\0\0\0\x01")


@dataclass(frozen=True)
class Sound:
    """The files of one image by name, and which of them is opened: "." for the folder itself."""

    name: str
    files: dict[str, bytes]
    opened: str

    @classmethod
    def of(cls, path: Path) -> "Sound":
        """Take a file, or a folder such as an OME-Zarr, as it is."""
        if path.is_file():
            return cls(path.name, {path.name: path.read_bytes()}, path.name)
        inner = sorted(file for file in path.rglob("*") if file.is_file())
        return cls(path.name, {f.relative_to(path).as_posix(): f.read_bytes() for f in inner}, ".")

    def write(self, folder: Path) -> Path:
        """Write all files into a folder, made anew; return what is to be opened."""
        shutil.rmtree(folder, ignore_errors=True)
        for name, content in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return folder / self.opened


def sounds() -> list[Sound]:
    """Write the samples in several formats."""
    gray = read_image(SAMPLES / "phase_1_img.png").pixels[:96, :128]
    stack = np.stack([gray, gray[::-1], gray[:, ::-1], 255 - gray, gray // 2, gray // 3])
    colour = np.stack([gray, gray[::-1], 255 - gray], axis=-1)
    deep = gray.astype(np.uint16) * 200 + stack[1]
    hyper = stack.reshape(2, 3, *gray.shape)
    plain: dict[str, Any] = {"photometric": "minisblack", "metadata": None}
    made = {
        "plain.tif": (gray, {"metadata": None}),
        "strips.tif": (deep, {"rowsperstrip": 16, "metadata": None}),
        "zlib.tif": (gray, {"compression": "zlib", "rowsperstrip": 16}),
        "predictor.tif": (deep, {"compression": "zlib", "predictor": True, "rowsperstrip": 32}),
        "lzw.tif": (gray, {"compression": "lzw", "rowsperstrip": 16, "metadata": None}),
        "tiled.tif": (gray, {"tile": (32, 32), "compression": "lzw"}),
        "raw_tiles.tif": (deep, {"tile": (32, 48), "byteorder": ">", "bigtiff": True}),
        "jpeg.tif": (colour, {"compression": "jpeg", "tile": (32, 32), "photometric": "rgb"}),
        "rgb.tif": (colour, {"photometric": "rgb", "rowsperstrip": 24}),
        "planar.tif": (
            np.moveaxis(colour, -1, 0),
            {"photometric": "rgb", "planarconfig": "separate", "compression": "zlib", "rowsperstrip": 32},
        ),
        "float.tif": (gray.astype(np.float32), {"compression": "zlib", "predictor": True}),
        "bits.tif": (gray > 99, {"compression": "packbits", "rowsperstrip": 16}),
        "pages.tif": (stack, plain),
        "shaped.tif": (hyper, {"photometric": "minisblack"}),
        "stack.ome.tif": (hyper, {"metadata": {"axes": "TZYX"}, "photometric": "minisblack", "ome": True}),
        "tiles.ome.tif": (
            hyper,
            {
                "metadata": {"axes": "TCYX"},
                "photometric": "minisblack",
                "tile": (32, 32),
                "compression": "zlib",
            },
        ),
        "imagej.tif": (hyper, {"imagej": True, "metadata": {"axes": "TZYX"}}),
        "imagej_one.tif": (hyper, {"imagej": True, "truncate": True, "metadata": {"axes": "TZYX"}}),
    }
    found = [Sound(name, {name: _tiff(pixels, options)}, name) for name, (pixels, options) in made.items()]
    found += [_ome_set(stack[:2], {}, "set"), _ome_set(stack[:2], {"compression": "zlib"}, "zlib set")]
    for ending in ("png", "jpg", "bmp"):
        found.append(
            Sound(
                f"plain.{ending}",
                {f"a.{ending}": cv2.imencode(f".{ending}", gray)[1].tobytes()},
                f"a.{ending}",
            )
        )
    stream = io.BytesIO()
    np.save(stream, deep)
    found.append(Sound("array.npy", {"a.npy": stream.getvalue()}, "a.npy"))
    return found + _zarrs(hyper)


def _tiff(pixels: Any, options: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, **options)
    return stream.getvalue()


def _ome_set(planes: Any, options: dict[str, Any], name: str) -> Sound:
    """Return an OME-TIFF of which each time is in a file of its own."""
    data = "".join(
        f'<TiffData FirstT="{at}" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{at}.ome.tif">urn:uuid:{at}</UUID></TiffData>'
        for at in range(len(planes))
    )
    height, width = planes.shape[1:]
    sizes = f'SizeX="{width}" SizeY="{height}" SizeC="1" SizeZ="1" SizeT="{len(planes)}"'
    xml = f'<OME><Image><Pixels DimensionOrder="XYCZT" Type="uint8" {sizes}>{data}</Pixels></Image></OME>'
    files = {
        f"{at}.ome.tif": _tiff(plane, {"description": xml, "metadata": None, **options})
        for at, plane in enumerate(planes)
    }
    return Sound(name, files, "0.ome.tif")


def _zarrs(pixels: Any) -> list[Sound]:
    """Return OME-Zarr folders, where the package is installed."""
    try:
        import zarr
    except ImportError:
        return []
    found = []
    for version, ngff in ((2, "0.4"), (3, "0.5")):
        with tempfile.TemporaryDirectory() as name:
            group = zarr.open_group(name, mode="w", zarr_format=version)
            array = group.create_array("0", shape=pixels.shape, chunks=(1, 1, 48, 64), dtype=pixels.dtype)
            array[...] = pixels
            axes = [{"name": axis, "type": "space" if axis in "zyx" else "time"} for axis in "tzyx"]
            scale = [{"type": "scale", "scale": [1, 1, 0.5, 0.5]}]
            levels = [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}]
            if version == 2:
                group.attrs["multiscales"] = [levels[0] | {"version": ngff}]
            else:
                group.attrs["ome"] = {"version": ngff, "multiscales": levels}
            whole = Sound.of(Path(name))
            found.append(Sound(f"ngff {ngff}.zarr", whole.files, "."))
    return found


# What in a file is pixels: pairs of where they begin and end


def pixel_ranges(name: str, content: bytes) -> list[tuple[int, int]]:
    """List where the stored pixels of a file are, and tables without a checksum that they are decoded by."""
    ending = name.rsplit(".", 1)[-1]
    if content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _tiff_ranges(content)
    if ending == "npy":
        return [(10 + struct.unpack("<H", content[8:10])[0], len(content))]
    if ending == "bmp":
        return [(54, len(content))]
    if ending == "png" or name.endswith((".json", ".zarray", ".zattrs", ".zgroup")):
        return []
    return [(0, len(content))]  # JPEG, chunks


def _tiff_ranges(content: bytes) -> list[tuple[int, int]]:
    ranges = []
    with tifffile.TiffFile(io.BytesIO(content), is_ome=False) as tif:
        pages = [tif.pages[at] for at in range(len(tif.pages))]
        # ImageJ may describe all planes by one page
        run = tif.series[0].nbytes // pages[0].nbytes if tif.is_imagej and len(pages) == 1 else 1
        for page in pages:
            places = zip(page.dataoffsets, page.databytecounts, strict=True)
            ranges += [(at, at + count * run) for at, count in places]
            tables = [tag for tag in page.tags if tag.code in _PIXEL_TAGS]
            ranges += [(tag.valueoffset, tag.valueoffset + tag.count) for tag in tables]
    return ranges


# Damage


def mutate(sound: Sound, seed: str) -> tuple[str, Sound]:
    """Return where a damaged copy is damaged, "structure" or "anywhere", and the copy."""
    draw = random.Random(seed)  # noqa: S311 (damage, no secrets)
    name = draw.choice(sorted(sound.files))
    content = sound.files[name]
    ranges = pixel_ranges(name, content)
    free = np.ones(len(content), bool)
    for start, stop in ranges:
        free[start:stop] = False
    places = np.flatnonzero(free)
    is_structure = len(places) > 0 and draw.random() < 0.7
    damaged = _in_place(content, places.tolist(), draw) if is_structure else _anywhere(content, draw)
    return "structure" if is_structure else "anywhere", Sound(
        sound.name, sound.files | {name: damaged}, sound.opened
    )


def _in_place(content: bytes, places: list[int], draw: random.Random) -> bytes:
    """Change bytes that are not pixels, or cut the file off."""
    damaged = bytearray(content)
    allowed = set(places)
    if draw.random() < 0.05:
        return content[: draw.randrange(len(content))]
    for _ in range(draw.choice((1, 1, 1, 1, 2, 4))):
        at = draw.choice(places)
        kind = draw.randrange(6)
        if kind < 2:
            new = bytes([draw.randrange(256)])
        elif kind == 2:
            new = bytes([damaged[at] ^ 1 << draw.randrange(8)])
        elif kind == 3:  # sizes, counts and offsets at their limits
            new = draw.choice(_LIMITS)
        elif kind == 4:
            start = draw.choice(places)
            new = bytes(damaged[start : start + 12])
        else:
            new = draw.randbytes(4)
        for offset, value in enumerate(new):
            if at + offset in allowed:
                damaged[at + offset] = value
    return bytes(damaged)


def _anywhere(content: bytes, draw: random.Random) -> bytes:
    """Damage bytes as disks, networks and hostile people do; more often at the start, where headers are."""
    damaged = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 4, 16))):
        length = max(1, len(damaged))
        at = draw.randrange(min(length, 512) if draw.random() < 0.6 else length)
        kind = draw.randrange(7)
        if kind == 0:
            damaged[at : at + 1] = bytes([draw.randrange(256)])
        elif kind == 1:
            del damaged[at:]
        elif kind == 2:
            damaged[at : at + draw.randrange(64)] = b""
        elif kind == 3:
            damaged[at:at] = draw.randbytes(draw.randrange(1, 64))
        elif kind == 4:
            damaged[at : at + 4] = draw.choice(_LIMITS)
        elif kind == 5:
            start = draw.randrange(length)
            damaged[at : at + 32] = damaged[start : start + 32]
        else:
            damaged[at : at + 8] = draw.randbytes(8)
    return bytes(damaged)


# Other values that are allowed as well


def redefined(sound: Sound, damaged: Sound) -> str:
    """Name what was given another allowed value, so that no reader can know; empty where nothing was."""
    for name, content in damaged.files.items():
        before = sound.files[name]
        if content != before:
            return _redefined_in(name, before, content)
    return ""


def _redefined_in(name: str, before: bytes, after: bytes) -> str:
    readers: dict[bytes, Callable[[bytes], dict[str, Any]]] = {
        b"\x93N": _npy_header,
        b"II": _tags,
        b"MM": _tags,
    }
    read = readers.get(before[:2])
    if read is None and name.endswith((".json", ".zarray", ".zattrs")):
        read = _json_values
    if read is None:
        return ""
    try:
        old, new = read(before), read(after)
    except Exception:  # noqa: BLE001 (of damage)
        return ""
    changed = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
    if "chain" in changed:  # a list of pages that ends sooner is a list of pages
        changed = {key for key in changed if key == "chain" or int(key.split()[0]) < new["chain"]}
    return _allowed(changed, read is _tags)


def _allowed(changed: set[str], is_tiff: bool) -> str:
    if not changed:
        return ""
    if is_tiff and not all(key == "chain" or int(key.split()[1]) in _REDEFINE for key in changed):
        return ""
    return ", ".join(sorted({key.split(" ", 2)[2] if is_tiff and key != "chain" else key for key in changed}))


def _tags(content: bytes) -> dict[str, Any]:
    """Return all tags of a TIFF that its pixels hang on by page, code and name; the chain of its pages."""
    with tifffile.TiffFile(io.BytesIO(content), is_ome=False) as tif:
        pages = [tif.pages[at] for at in range(len(tif.pages))]
        found: dict[str, Any] = {"chain": len(pages)}
        for number, page in enumerate(pages):
            for tag in page.tags:
                if tag.code not in (269, 271, 272, 282, 283, 296, 305, 306, 315, 316):
                    found[f"{number} {tag.code} {tag.name}"] = tag.value
    return found


def _npy_header(content: bytes) -> dict[str, Any]:
    stream = io.BytesIO(content)
    npy_format.read_magic(stream)
    shape, order, dtype = npy_format.read_array_header_1_0(stream)
    return {"shape": shape, "order": order, "dtype": dtype}


def _json_values(content: bytes) -> dict[str, Any]:
    """Return all values of JSON by their path."""
    found: dict[str, Any] = {}

    def walk(value: Any, path: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, f"{path}/{key}")
        elif isinstance(value, list):
            for at, inner in enumerate(value):
                walk(inner, f"{path}/{at}")
        else:
            found[path] = value

    walk(json.loads(content), "")
    return found
