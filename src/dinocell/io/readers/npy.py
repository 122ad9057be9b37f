"""NPY: one array saved by numpy, whose axes nothing names."""

from pathlib import Path
from tokenize import TokenError
from typing import Literal

import numpy as np

from dinocell.errors import FileFormatError
from dinocell.io.planes import MAX_PIXELS, Pixels
from dinocell.io.readers.lazy import ImageInfo, LazyImage
from dinocell.io.readers.raster import single_plane
from dinocell.io.readers.reader import Reader

CELLPOSE_ENDING = "_seg.npy"
"""Ending of the names of files that Cellpose keeps for itself."""

CELLPOSE_REMEDY = (
    "is Cellpose's own file, a pickle, which may run code and is never loaded, expected a label image: in "
    "Cellpose choose File > Save masks as PNG/tif, or run it with --save_png or --save_tif, and use the "
    "NAME_cp_masks file that this writes"
)
"""Text of a message on such a file, after its name."""


class NpyImage(LazyImage):
    """An NPY file as one plane; `header` maps it. Parameters and errors as in `LazyImage`."""

    def __init__(self, path: Path, info: ImageInfo, header: np.memmap) -> None:
        super().__init__(path, info)
        self._shape, self._dtype, self._offset = header.shape, header.dtype, header.offset
        self._order: Literal["C", "F"] = "C" if header.flags.c_contiguous else "F"

    def _read(self, t: int, c: int, z: int) -> Pixels:
        # not through the map: touching one whose file was cut meanwhile kills the process
        count = int(np.prod(self._shape))
        values = np.fromfile(self.path, self._dtype, count, offset=self._offset)
        if values.size < count:
            raise ValueError("its end is missing")
        return values.reshape(self._shape, order=self._order)


class NpyReader(Reader):
    """Reader of arrays that numpy saved."""

    name = "NPY"
    magic = (b"\x93NUMPY",)
    suffixes = (".npy",)

    def open(self, file: Path, scene: int | str, largest: int = MAX_PIXELS) -> LazyImage:
        """Open an array of shape (Y, X), or of colours (Y, X, 3 or 4) in uint8.

        Parameters
        ----------
        file : path
        scene : int or str
            There is one, of the name of the file.
        largest : int
            Not used: planes are read whole.

        Raises
        ------
        FileFormatError
            If it has other axes, or holds Python objects, which are never loaded: that would run code.
        InputError
            If the scene does not exist.
        """
        try:
            header = np.load(file, mmap_mode="r", allow_pickle=False)
        except (SyntaxError, TokenError, ValueError) as exc:
            if file.name.endswith(CELLPOSE_ENDING):
                raise FileFormatError(f"{file} {CELLPOSE_REMEDY}") from exc
            detail = " ".join(f"{exc}".split())[:120]
            raise FileFormatError(
                f"{file} is not a complete array of plain numbers ({detail}), expected one that numpy.save "
                "wrote with allow_pickle=False: save it again"
            ) from exc
        beyond = file.stat().st_size - header.offset - header.nbytes
        if beyond > 0:
            raise FileFormatError(
                f"{file} has {beyond} bytes after an array of shape {header.shape} of {header.dtype}, "
                "expected one array: save it again, each array in a file of its own"
            )
        colour = header.ndim == 3 and header.shape[2] in (3, 4) and header.dtype == np.uint8
        if header.ndim != 2 and not colour:
            raise FileFormatError(
                f"{file} has shape {header.shape} of {header.dtype}, expected (Y, X), or (Y, X, 3 or 4) of "
                "uint8: nothing names the axes of more, save it as an OME-TIFF that does"
            )
        return NpyImage(file, single_plane(file, "NPY", header.shape, header.dtype, scene), header)
