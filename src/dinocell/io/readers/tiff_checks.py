"""Checks of the pages of a TIFF file: tags, strips and tiles against the pixels that they should hold."""

import math
import struct
from collections.abc import Iterable
from typing import Any

import tifffile

from dinocell.io.readers.raster import jpeg_header
from dinocell.io.readers.tiff_messages import Warn

YCBCR_JPEG = (6, 7)
"""Compressions that tifffile decodes from YCbCr to RGB."""

CODED_JPEG = (*YCBCR_JPEG, 33007, 34892)
"""Compressions whose strips and tiles are JPEG images."""

_JPEG2000 = (33003, 33005, 34712)
_PNG = 34933
_FAX = (2, 3, 4)
_CONTIG, _SEPARATE = 1, 2  # values of a pixel one after the other, or plane by plane
_LSB_FIRST, _MSB_FIRST = 2, 1
_PREDICTS_FLOATS = (3, 34894, 34895)
_CUT_SHORT = (5, 34925)  # LZW and LZMA: what is decoded beyond the size that is asked for is left out
_WHOLE_BYTES = (8, 16, 32, 64)
_LONG_STRIP = "its last strip is longer than its size needs: compare what is read with the original"


def check_tags(keyframe: Any, warn: Warn) -> None:
    """Check that tags have values that TIFF defines; for others tifffile would guess.

    Parameters
    ----------
    keyframe : tifffile.TiffPage
    warn : callable
        Called with those that can be passed over.

    Raises
    ------
    ValueError
        If they do not.
    """
    samples, planar = keyframe.samplesperpixel, keyframe.planarconfig
    if planar not in (_CONTIG, _SEPARATE) and (samples > 1 or keyframe.photometric == 2):
        raise ValueError(f"its PlanarConfiguration is {int(planar)}, expected 1 or 2")
    if 262 not in keyframe.tags:
        warn("it does not say its PhotometricInterpretation, gray is taken for granted: check its colours")
    bits = keyframe.tags.get(258)
    if bits is not None and bits.count > samples and not keyframe.parent.is_lsm:  # LSM files list more
        raise ValueError(f"it has bits for {bits.count} samples a pixel, but {samples} samples")
    if keyframe.compression in CODED_JPEG and keyframe.dtype is not None and keyframe.dtype.kind != "u":
        raise ValueError(f"its pixels are {keyframe.dtype}, which JPEG does not hold")
    if not keyframe.is_tiled and keyframe.rowsperstrip < 1:
        warn("its RowsPerStrip is 0, expected at least 1: compare what is read with the original")
    if keyframe.fillorder not in (_MSB_FIRST, _LSB_FIRST):
        warn(f"its FillOrder is {int(keyframe.fillorder)}, expected 1 or 2, and is left out")
    if keyframe.predictor in _PREDICTS_FLOATS and keyframe.dtype is not None and keyframe.dtype.kind != "f":
        raise ValueError(f"its predictor is for floats, its pixels are {keyframe.dtype}")


def check_parts(page: Any, number: int, parts: Iterable[int], warn: Warn) -> None:
    """Check that the strips or tiles of a plane are all there, and have the bytes of its pixels.

    Parameters
    ----------
    page : tifffile.TiffPage or TiffFrame
    number : int
        Of the plane, named in the errors.
    parts : iterable of int
        Numbers of the strips or tiles to look at.
    warn : callable
        Called with what is without data though it has a place in the file, and with bytes that are too many.

    Raises
    ------
    ValueError
        If not.
    """
    offsets, counts, keyframe = page.dataoffsets, page.databytecounts, page.keyframe
    needed, size = math.prod(keyframe.chunked), page.parent.filehandle.size
    parts = list(parts)
    lengths = [keyframe.nbytes] if is_one_strip(page) else counts
    if min(len(offsets), len(counts)) < needed or any(offsets[at] + lengths[at] > size for at in parts):
        raise ValueError(f"part of plane {number} is missing")
    if keyframe.is_tiled and keyframe.jpegheader is None and any(counts[needed:]):
        raise ValueError(f"plane {number} has {len(counts)} tiles, its size needs {needed}")
    if any(counts[at] and not offsets[at] for at in parts):
        raise ValueError(f"part of plane {number} has no place in the file")
    empty = [at for at in parts if offsets[at] and not counts[at]]
    if empty and not is_one_strip(page):
        what = "tiles" if keyframe.is_tiled else "strips"
        warn(f"{len(empty)} of {len(parts)} {what} of plane {number} have 0 bytes and are filled with "
             f"{keyframe.nodata:g}")  # fmt: skip
    _check_coded_sizes(page, parts, warn)
    if keyframe.compression == 1:
        _check_raw_bytes(page, number, parts, warn)


def is_one_strip(page: Any) -> bool:
    """Return whether a page is stored as it is in one strip, so that its size determines the end."""
    return bool(page.keyframe.is_contiguous) and len(page.dataoffsets) == 1


def coded_shape(keyframe: Any) -> tuple[int, int, int]:
    """Return rows, columns and samples of a tile or strip."""
    samples = keyframe.samplesperpixel if keyframe.planarconfig == _CONTIG else 1
    if keyframe.is_tiled:
        return keyframe.tilelength, keyframe.tilewidth, samples
    return min(keyframe.rowsperstrip, keyframe.imagelength), keyframe.imagewidth, samples


def _row_bytes(keyframe: Any, width: int) -> int:
    """Return the bytes of a row of a tile or strip, which begins at a whole byte."""
    bits = keyframe.bitspersample
    samples = coded_shape(keyframe)[2]
    return math.ceil(width * (sum(bits) if isinstance(bits, tuple) else bits * samples) / 8)


def _rows_of(keyframe: Any, at: int) -> int:
    """Return the rows of strip number `at`; the last one of a plane may have fewer."""
    height = coded_shape(keyframe)[0]
    n_down = math.ceil(keyframe.imagelength / height)
    return int(min(height, keyframe.imagelength - at % n_down * height))


def _check_raw_bytes(page: Any, number: int, parts: list[int], warn: Warn) -> None:
    """Check that strips and tiles that are stored as they are have the bytes of their pixels."""
    keyframe, counts = page.keyframe, page.databytecounts
    if keyframe.parent.is_lsm or keyframe.parent.is_stk or keyframe.imagedepth > 1:  # these count otherwise
        return
    if is_one_strip(page) and counts[0] == 0:
        return
    height, width, _ = coded_shape(keyframe)
    row = _row_bytes(keyframe, width)
    for at in parts:
        if not counts[at]:
            continue
        if keyframe.is_tiled:
            allowed = _tile_bytes(keyframe, at)
        else:
            allowed = {_rows_of(keyframe, at) * row, height * row}  # some writers fill the last strip
        if counts[at] in allowed:
            if keyframe.is_tiled and counts[at] < max(allowed):
                warn("tiles at its edges end with the page: compare what is read with the original")
            if not keyframe.is_tiled and counts[at] > min(allowed):
                warn(_LONG_STRIP)
            continue
        is_about = min(allowed) < counts[at] < min(allowed) + row
        if not is_about and not is_one_strip(page):  # the size determines the end of one strip
            raise ValueError(f"part {at} of plane {number} has {counts[at]} bytes, its pixels {min(allowed)}")
        warn(f"parts of it have more bytes than their pixels ({counts[at]}, not {min(allowed)})")


def _tile_bytes(keyframe: Any, at: int) -> set[int]:
    """Return the sizes in bytes that a tile may have: tiles at the right and lower edges may be cut."""
    height, width, _ = coded_shape(keyframe)
    n_down, n_across = math.ceil(keyframe.imagelength / height), math.ceil(keyframe.imagewidth / width)
    rows = min(height, keyframe.imagelength - at // n_across % n_down * height)
    columns = min(width, keyframe.imagewidth - at % n_across * width)
    whole = _row_bytes(keyframe, width)
    return {height * whole, rows * whole, rows * _row_bytes(keyframe, columns)}


def check_ends(page: Any, warn: Warn) -> None:
    """Check that the first and last strip or tile of a page decode to the size in its tags.

    tifffile checks that they are large enough, and for some compressions drops without a word what is beyond.

    Parameters
    ----------
    page : tifffile.TiffPage or TiffFrame
    warn : callable
        Called with a last strip that is longer than the page.

    Raises
    ------
    ValueError
        If not.
    """
    keyframe, counts = page.keyframe, page.databytecounts
    coded = keyframe.compression
    known = tifffile.TIFF.DECOMPRESSORS
    is_image = coded in tifffile.TIFF.IMAGE_COMPRESSIONS
    is_cut = coded in _CUT_SHORT or keyframe.bitspersample not in _WHOLE_BYTES
    if coded in (1, *CODED_JPEG, *_FAX) or coded not in known or not (is_image or is_cut):
        return
    there = [at for at in range(math.prod(keyframe.chunked)) if counts[at] and page.dataoffsets[at]]
    for at in sorted({*there[:1], *there[-1:]}):
        page.parent.filehandle.seek(page.dataoffsets[at])
        data = page.parent.filehandle.read(counts[at])
        if is_image:
            _check_image(keyframe, at, known[coded](data), warn)
        elif keyframe.fillorder == _MSB_FIRST:
            height, width, _ = coded_shape(keyframe)
            rows = height if keyframe.is_tiled else _rows_of(keyframe, at)
            row = _row_bytes(keyframe, width)
            decoded = len(known[coded](data, out=height * row + 1))
            if decoded > height * row or rows * row < decoded < height * row:
                raise ValueError(f"part {at} of it has more than the {rows * row} bytes of its pixels")
            if decoded > rows * row:
                warn(_LONG_STRIP)


def _check_image(keyframe: Any, at: int, pixels: Any, warn: Warn) -> None:
    if pixels.dtype != keyframe.dtype:
        raise ValueError(f"part {at} of it has {pixels.dtype} pixels, expected {keyframe.dtype}")
    _check_coded_shape(keyframe, at, pixels.shape[:2], math.prod(pixels.shape[2:]), warn)


def _check_coded_sizes(page: Any, parts: Iterable[int], warn: Warn) -> None:
    """Raise ValueError for strips and tiles that are images of their own, of a wrong size."""
    keyframe = page.keyframe
    coded = keyframe.compression
    if coded not in (*CODED_JPEG, *_JPEG2000, _PNG):
        return
    handle = page.parent.filehandle
    for at in parts:
        if not page.databytecounts[at]:
            continue
        handle.seek(page.dataoffsets[at])
        data = handle.read(page.databytecounts[at])
        samples = None
        if coded in CODED_JPEG:
            if not data.startswith(b"\xff\xd8"):  # its header is a tag, which tifffile fits to the page
                continue
            height, width, samples, precision, scan = jpeg_header(data)
            if (precision > 8) != (keyframe.dtype.itemsize > 1):
                raise ValueError(f"part {at} is a JPEG of {precision} bits, its pixels are {keyframe.dtype}")
            if data.find(b"\xff\xd9", scan) < 0:  # libjpeg would fill the rest with gray
                raise ValueError(f"the end of part {at} is missing")
            if not height * width:  # given at its end
                continue
        elif coded == _PNG:
            width, height = struct.unpack(">II", data[16:24])
        else:
            start = data.index(b"\xff\x4f\xff\x51") + 8
            width, height = struct.unpack(">II", data[start : start + 8])
        _check_coded_shape(keyframe, at, (height, width), samples, warn)


def _check_coded_shape(
    keyframe: Any, at: int, shape: tuple[int, int], samples: int | None, warn: Warn
) -> None:
    """Raise ValueError for an image that neither fills its strip or tile nor ends where the page ends."""
    height, width, expected = coded_shape(keyframe)
    n_down, n_across = math.ceil(keyframe.imagelength / height), math.ceil(keyframe.imagewidth / width)
    rows = {height, min(height, keyframe.imagelength - at // n_across % n_down * height)}
    columns = {width, min(width, keyframe.imagewidth - at % n_across * width)}
    if shape[0] not in rows or shape[1] not in columns:
        raise ValueError(f"a part of it is coded as {shape[0]} × {shape[1]} pixels, not {height} × {width}")
    if samples is not None and samples != expected:
        raise ValueError(f"a part of it is coded with {samples} samples a pixel, expected {expected}")
    if not keyframe.is_tiled and shape[0] > min(rows):
        warn(_LONG_STRIP)
