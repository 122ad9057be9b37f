"""PNG, JPEG and BMP: files that hold one plane."""

import math
import struct
import zlib
from pathlib import Path

import cv2
import imagecodecs
import numpy as np

from dinocell.errors import FileFormatError
from dinocell.planes import Pixels, check_size, checked_index


def read_raster(file: Path, kind: str, page: int | None, channel: int | None) -> Pixels:
    """Read a format that holds one plane."""
    checked_index(page, 1, "page", file)
    decode = {"PNG": _decode_png, "JPEG": _decode_jpeg, "BMP": _decode_bmp}[kind]
    pixels = decode(file.read_bytes(), file)
    checked_index(channel or 0, math.prod(pixels.shape[2:]), "channel", file)
    return pixels if channel is None or pixels.ndim == 2 else pixels[..., channel]


def _decode_png(data: bytes, file: Path) -> Pixels:
    width, height, depth = struct.unpack(">IIB", data[16:25])
    check_size(height, width, file)
    position, name, kept = 8, b"", [data[:8]]
    while name != b"IEND":  # libpng lets some damage pass, and prints about chunks that pixels do not need
        length, name = struct.unpack(">I4s", data[position : position + 8])
        end = position + 8 + length
        if struct.unpack(">I", data[end : end + 4]) != (zlib.crc32(data[position + 4 : end]),):
            raise ValueError("a checksum is wrong")
        if name in (b"IHDR", b"PLTE", b"IDAT", b"IEND"):
            kept.append(data[position : end + 4])
        position = end + 4
    pixels: Pixels = imagecodecs.png_decode(b"".join(kept))
    if pixels.shape[2:] == (2,):
        pixels = pixels[..., 0]
    if pixels.ndim == 2 and depth < 8:  # the decoder spreads 1, 2 and 4 bits over 0–255
        pixels = pixels // (255 // (2**depth - 1))
        return pixels.astype(bool) if depth == 1 else pixels
    return pixels


def _decode_jpeg(data: bytes, file: Path) -> Pixels:
    position, marker = 2, 0
    while marker != 0xDA:  # the segments before the scan have a length
        prefix, marker, length = struct.unpack(">BBH", data[position : position + 4])
        if prefix == marker == 0xFF:  # a fill byte
            position += 1
            continue
        if prefix != 0xFF:
            raise ValueError("segment marker expected")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width, samples = struct.unpack(">HHB", data[position + 5 : position + 10])
            check_size(height, width, file)
            if samples not in (1, 3):
                raise FileFormatError(f"{file} is a CMYK JPEG, expected gray or RGB: convert it to RGB")
        position += 2 + length
    if data.find(b"\xff\xd9", position) < 0:  # libjpeg would fill the rest with gray
        raise ValueError("the end of the image is missing")
    pixels: Pixels = imagecodecs.jpeg8_decode(data)
    return pixels


def _decode_bmp(data: bytes, file: Path) -> Pixels:
    start, header, width, height, bits, compression = struct.unpack("<IIii2xHI", data[10:34])
    if not 40 <= header <= 124:
        raise ValueError("unknown header")
    check_size(abs(height), abs(width), file)
    if compression == 0 and start + (width * bits + 31) // 32 * 4 * abs(height) > len(data):
        raise ValueError("the end of the image is missing")
    # imagecodecs crashes on damaged BMP files
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("OpenCV cannot decode it")
    return pixels if pixels.ndim == 2 else pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
