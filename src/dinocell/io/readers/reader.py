"""The contract of a format: how its files are recognised, what it can do, and how one is opened."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import numpy as np

from dinocell.io.planes import MAX_PIXELS, Pixels, checked_index, decoding
from dinocell.io.readers.lazy import LazyImage
from dinocell.io.readers.naming import channel_index, matching_names

Page = tuple[Pixels, str, tuple[float, float] | None, tuple[str, ...]]
"""Pixels of a page, their axes, height and width of a pixel in micrometres, and names of the channels."""


class Reader(ABC):
    """Reader of one format of image files.

    All readers are imported together, so each imports the package that decodes its files when it opens one.

    Attributes
    ----------
    name : str
        Name of the format in error messages.
    kinds : tuple of str
        Variants that have a name of their own in the documentation.
    magic : tuple of bytes
        First bytes of its files, one for each kind.
    folder_files : tuple of str
        For a format whose images are folders: names of files, of which such a folder has at least one.
    suffixes : tuple of str
        Endings of the names of its files, in lower case.
    is_of_microscopes : bool
        Whether only images come in the format, never annotations: a folder of images and annotations is not
        searched for it, a folder to be segmented is.
    has_ome_names : bool
        Whether ``.ome`` before the suffix belongs to it, as in ``a.ome.tif``.
    keeps_ids : bool
        Whether a label image comes back as it was stored.
    reads_windows : bool
        Whether parts of a plane can be read without the rest, so that it may be larger than memory.
    """

    name: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]] = ()
    magic: ClassVar[tuple[bytes, ...]] = ()
    folder_files: ClassVar[tuple[str, ...]] = ()
    suffixes: ClassVar[tuple[str, ...]]
    is_of_microscopes: ClassVar[bool] = False
    has_ome_names: ClassVar[bool] = False
    keeps_ids: ClassVar[bool] = True
    reads_windows: ClassVar[bool] = False

    @abstractmethod
    def open(self, file: Path, scene: int | str, largest: int = MAX_PIXELS) -> LazyImage:
        """Open one scene of a file.

        Parameters
        ----------
        file : path
        scene : int or str
            Number, counted from 0, or name.
        largest : int
            Pixels that a plane may have; more than `MAX_PIXELS` only if the format `reads_windows`.

        Returns
        -------
        LazyImage
            Holds the file until it is closed.

        Raises
        ------
        FileFormatError
            If the file is damaged, too large, or holds what cannot be read.
        InputError
            If the scene does not exist.
        MissingExtraError
            If the format needs a package that is not installed.
        """

    def read_page(self, file: Path, page: int | None, channel: int | str | None) -> Page:
        """Read one plane of the first scene.

        Parameters
        ----------
        file : path
        page : int or None
            Counted over times and, within each, slices; None is the only one.
        channel : int, str or None
            None stands for all channels.
        """
        with decoding(file, self.name):
            image = self.open(file, 0)
        with image:
            info = image.info
            times, channels, slices = info.shape[:3]
            t, z = divmod(checked_index(page, times * slices, "page", file), slices)
            names, size = info.channel_names, info.pixel_size_yx_um
            if channel is not None:
                c, sample = divmod(channel_index(info, channel, file), info.samples)
                pixels = image.read_plane(t, c, z)
                pixels = pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., sample])
                return pixels, "YX", size, matching_names(names[c : c + 1], 1)
            planes = [image.read_plane(t, c, z) for c in range(channels)]
        if channels == 1:
            return planes[0], "YXS"[: planes[0].ndim], size, names
        pixels = np.concatenate([np.atleast_3d(plane) for plane in planes], axis=2)
        return pixels, "YXC", size, names if info.samples == 1 else ()

    def find_labels(self, path: Path) -> Path:
        """Find the label image of a file: the file itself, unless the format keeps labels beside images."""
        return path
