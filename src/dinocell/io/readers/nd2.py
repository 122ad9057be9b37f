"""ND2, the format of Nikon's NIS-Elements: described by the package nd2, its frames read one at a time."""

import math
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import FileFormatError
from dinocell.extras import import_extra
from dinocell.io.planes import MAX_PIXELS, METADATA_ERRORS, check_size, decoding
from dinocell.io.readers.lazy import ImageInfo, LazyImage, closed_on_error
from dinocell.io.readers.naming import choose_scene, matching_names
from dinocell.io.readers.nd2_metadata import MetadataScan
from dinocell.io.readers.reader import Reader
from dinocell.io.readers.units import known_size, positive

_CHUNK = struct.Struct("<IIQ")  # magic, length of the name, length of the data
_CHUNK_MAGIC = 0x0ABECEDA
_OLD_MAGIC = b"\x00\x00\x00\x0c"
_END = struct.Struct("<32sQ")  # the last bytes of a file: signature, position of the chunk map
_MAP_NAME, _MAP_END = b"ND2 FILEMAP SIGNATURE NAME 0001!", b"ND2 CHUNK MAP SIGNATURE 0000001!"
_METADATA = (
    b"ImageAttributesLV!", b"ImageMetadataLV!", b"ImageMetadataSeqLV|0!", b"ImageTextInfoLV!",
    b"ImageAttributes!", b"ImageMetadata!", b"ImageMetadataSeq|0!", b"ImageTextInfo!",
)  # fmt: skip
_MOST_PLANNED = (
    100  # times the frames that are there; acquisitions that were stopped plan more than they hold
)
_AXES = {"TimeLoop": "T", "NETimeLoop": "T", "XYPosLoop": "P", "ZStackLoop": "Z"}


class Nd2Reader(Reader):
    """Reader of ND2."""

    name = "ND2"
    magic = (b"\xda\xce\xbe\n", b"\0\0\0\x0cjP  ")  # the kind before 2008 is a JPEG 2000
    suffixes = (".nd2",)
    is_of_microscopes = True

    def open(self, file: Path, scene: int | str, largest: int = MAX_PIXELS) -> LazyImage:
        """Open one position of an ND2 file.

        Other loops than those over time, position and z are folded into z if the file has no z, else into
        time, in the order of the file. Samples of cameras in colour are R, G, B.

        Parameters
        ----------
        file : path
            Of version 2 or 3, as NIS-Elements writes it since 2009.
        scene : int or str
            Number of the position, counted from 0, or its name.
        largest : int
            Not used: planes are read whole.

        Returns
        -------
        LazyImage
            Holds the file open until it is closed.

        Raises
        ------
        FileFormatError
            If it is damaged, of the older kind (JPEG 2000), or compressed with losses.
        InputError
            If the scene does not exist.
        MissingExtraError
            If the package nd2 is not installed.
        """
        nd2 = import_extra("nd2", extra="io", purpose="reading ND2 files")
        with decoding(file, "ND2"):
            stream = file.open("rb")
            with closed_on_error(stream):
                chunks = _Chunks(stream, file)
                with nd2.ND2File(file) as source:
                    return _ND2Image(file, source, chunks, scene)


class _Chunks:
    """The named parts of an ND2 file, found through the map at its end."""

    def __init__(self, stream: BinaryIO, file: Path) -> None:
        self.stream = stream
        self.size = stream.seek(0, 2)
        stream.seek(0)
        if stream.read(4) == _OLD_MAGIC:
            raise FileFormatError(
                f"{file} is an ND2 file of the kind before 2009 (JPEG 2000), expected version 2 or 3: "
                "save it again in NIS-Elements or as OME-TIFF"
            )
        if self.size < _END.size:
            raise ValueError("it ends too early")
        stream.seek(-_END.size, 2)
        signature, at = _END.unpack(stream.read(_END.size))
        if signature != _MAP_END:
            raise ValueError("the map of its parts is missing at its end")
        self.offsets = _parse_map(self._read_at(at, _MAP_NAME))
        metadata = [name for name in _METADATA if name in self.offsets]
        scan = MetadataScan()
        for name in metadata:
            scan.check(self.read(name))

    def read(self, name: bytes) -> bytes:
        """Read the data of a chunk."""
        if name not in self.offsets:
            raise ValueError(f"{name.decode(errors='replace')} is missing")
        return self._read_at(self.offsets[name], name)

    def _read_at(self, at: int, name: bytes) -> bytes:
        self.stream.seek(at)
        magic, name_length, length = _CHUNK.unpack(self.stream.read(_CHUNK.size))
        fits = at + _CHUNK.size + name_length + length <= self.size
        if magic != _CHUNK_MAGIC or not fits or not self.stream.read(name_length).startswith(name):
            raise ValueError(f"{name.decode(errors='replace')} is not where it should be")
        return self.stream.read(length)


def _parse_map(data: bytes) -> dict[bytes, int]:
    """Return the position of each chunk by its name."""
    offsets, position = {}, 0
    while not data.startswith(_MAP_END, position):
        end = data.index(b"!", position) + 1
        (offsets[data[position:end]],) = struct.unpack_from("<Q", data, end)
        position = end + 16
    return offsets


class _ND2Image(LazyImage):
    """One position; a frame holds all channels of a plane, interleaved."""

    def __init__(self, file: Path, source: Any, chunks: _Chunks, scene: int | str) -> None:
        attributes = source.attributes
        self._chunks, self._lossless = chunks, attributes.compressionType == "lossless"
        if attributes.compressionType == "lossy":
            raise FileFormatError(
                f"{file} is compressed with losses, expected lossless or none: save it again in NIS-Elements"
            )
        if attributes.bitsPerComponentInMemory not in (8, 16, 32):
            raise ValueError(f"{attributes.bitsPerComponentInMemory} bits a value")
        components, height, width = attributes.componentCount, attributes.heightPx, attributes.widthPx
        check_size(height, width, file)
        planes = attributes.channelCount or 1
        samples = 3 if components == 3 * planes else 1
        channels = components // samples
        size = attributes.bitsPerComponentInMemory // 8
        row = attributes.widthBytes or width * components * size
        self._frame_shape = (height, width, channels, samples)
        self._strides = (row, components * size, samples * size, size)
        if channels < 1 or row < width * components * size:
            raise ValueError("rows are shorter than their pixels")
        self._loops = _fold_loops(source.experiment)
        _check_planned(self._loops, chunks, file)
        sizes = {axis: math.prod(n for kind, n in self._loops if kind == axis) for axis in "TPZ"}
        scenes = _position_names(source.experiment, sizes["P"])
        self._scene = choose_scene(scenes, scene, file)
        pixel_size, names = _describe_channels(source, channels)
        super().__init__(
            file,
            ImageInfo(
                "ND2",
                scenes,
                self._scene,
                (sizes["T"], channels, sizes["Z"], height, width),
                samples,
                np.dtype(f"<{'f' if attributes.pixelDataType == 'float' else 'u'}{size}"),
                pixel_size,
                *_steps(source.experiment, self._loops),
                names,
            ),
        )

    def _read(self, t: int, c: int, z: int) -> NDArray[Any]:
        place, index, step = {"T": t, "P": self._scene, "Z": z}, 0, 1
        for axis, count in reversed(self._loops):  # the innermost loop is the fastest
            place[axis], at = divmod(place[axis], count)
            index, step = index + at * step, step * count
        data = memoryview(self._chunks.read(f"ImageDataSeq|{index}!".encode()))[8:]  # after the time
        row, *_ = self._strides
        height, width, _, samples = self._frame_shape
        if self._lossless:
            try:
                data = memoryview(zlib.decompressobj().decompress(data, row * height))
            except zlib.error as exc:
                raise ValueError(f"frame {index} cannot be unpacked: {exc}") from exc
        if len(data) < row * (height - 1) + width * self._strides[1]:
            raise ValueError(f"part of frame {index} is missing")
        frame: NDArray[Any] = np.ndarray(self._frame_shape, self.info.dtype, data, 0, self._strides)
        plane = frame[:, :, c, ::-1]  # colours are stored as B, G, R
        return plane if samples > 1 else plane[..., 0]

    def close(self) -> None:
        self._chunks.stream.close()


def _fold_loops(experiment: list[Any]) -> list[tuple[str, int]]:
    """Return the axis (T, P or Z) and the length of each loop, the outermost first."""
    axes = [_AXES.get(loop.type, "") for loop in experiment]
    other = "T" if "Z" in axes else "Z"
    return [(axis or other, int(loop.count)) for axis, loop in zip(axes, experiment, strict=True)]


def _check_planned(loops: list[tuple[str, int]], chunks: _Chunks, file: Path) -> None:
    """Raise FileFormatError for loops far longer than the frames, or shorter: frames would be left out."""
    stored = sum(name.startswith(b"ImageDataSeq|") for name in chunks.offsets)
    planned = math.prod(count for _, count in loops)
    # an outermost loop that was stopped half way is left out by NIS-Elements too
    at_most = planned + planned // (loops[0][1] or 1) if loops else 2
    if not 0 < planned <= _MOST_PLANNED * stored or stored >= at_most:
        raise FileFormatError(
            f"{file} says it has {planned} frames but holds {stored}, expected as many: copy it again or "
            "save it as OME-TIFF in NIS-Elements"
        )


def _position_names(experiment: list[Any], count: int) -> tuple[str, ...]:
    loops = [loop for loop in experiment if loop.type == "XYPosLoop"]
    names = [str(point.name or "") for loop in loops for point in loop.parameters.points]
    return tuple(names) if len(names) == count else ("",) * count


def _steps(experiment: list[Any], loops: list[tuple[str, int]]) -> tuple[float | None, float | None]:
    """Return z step in micrometres and time step in seconds, for axes that consist of one loop."""
    kinds = [axis for axis, _ in loops]
    steps: dict[str, float] = {}
    for loop in experiment:
        parameters = loop.parameters
        if loop.type == "ZStackLoop":
            steps["Z"] = abs(parameters.stepUm)
        elif loop.type == "NETimeLoop":
            parameters = parameters.periods[0] if len(parameters.periods) == 1 else None
        if loop.type in ("TimeLoop", "NETimeLoop") and parameters is not None:
            measured = (
                parameters.periodDiff.avg
            )  # the period that was asked for is 0 for "as fast as possible"
            steps["T"] = (measured if measured > 0 else parameters.periodMs) / 1000
    found = [steps.get(axis, 0.0) if kinds.count(axis) == 1 else 0.0 for axis in "ZT"]
    z_step, time_step = (step if 0 < step < math.inf else None for step in found)
    return z_step, time_step


def _describe_channels(source: Any, count: int) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    """Return pixel size and channel names, as far as their metadata are sound."""
    try:
        channels = source.metadata.channels
        volume, names = channels[0].volume, tuple(str(channel.channel.name or "") for channel in channels)
        (x, y), calibrated = volume.axesCalibration[:2], all(volume.axesCalibrated[:2])
        distances = set(volume.axesInterpretation[:2]) == {"distance"}
    except (*METADATA_ERRORS, NameError):  # nd2 forgets to set a variable where a channel has no probe
        return None, ()
    size = known_size(positive(y), positive(x)) if calibrated and distances else None
    return size, matching_names(names, count)
