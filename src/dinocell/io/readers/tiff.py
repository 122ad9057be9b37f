"""TIFF: plain, ImageJ hyperstacks, OME-TIFF of one or several files, and the variants of microscopes.

tifffile trusts what a header claims. The modules here check a file before tifffile follows it, and compare
what it returns with the file. In the order in which a file passes through them:

==================== =====================================================================
module               its job
==================== =====================================================================
`tiff`               recognises the format and opens files (this module)
`tiff_image`         scenes of an opened file, whose planes, windows and pages it reads
`tiff_file`          opened file: its series, without metadata that do not fit its pages
`tiff_directories`   walks over all directories with bounds, before tifffile does
`tiff_tags`          reads the values of single tags for that walk
`tiff_storage`       how a page is stored, by its tags
`tiff_spans`         bytes that pixels share with anything else
`tiff_ome`           OME-XML: which files and how many planes it names
`tiff_file_set`      findings of the walks over all files of a set
`tiff_stack`         series as planes numbered by time, channel and slice
`tiff_pages`         planes that are described against pages that exist
`tiff_checks`        tags, strips and tiles of a page against its pixels
`tiff_parts`         windows, decoded from the strips or tiles that they lie in
`tiff_scale`         pixel size, steps and channel names
`tiff_description`   descriptions that look damaged
`tiff_messages`      what tifffile logs: damage, or a warning to the user
==================== =====================================================================
"""

from pathlib import Path

from dinocell.io.planes import MAX_PIXELS, decoding
from dinocell.io.readers.lazy import LazyImage
from dinocell.io.readers.reader import Page, Reader


class TiffReader(Reader):
    """Reader of TIFF. Parameters, returns and errors as in `Reader`."""

    name = "TIFF"
    kinds = ("OME-TIFF", "ImageJ")
    magic = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # classic and BigTIFF, in both byte orders
    # plain, BigTIFF, and those of MetaMorph and Zeiss microscopes
    suffixes = (".tif", ".tiff", ".btf", ".tf2", ".tf8", ".stk", ".lsm")
    has_ome_names = True
    reads_windows = True

    def open(self, file: Path, scene: int | str, largest: int = MAX_PIXELS) -> LazyImage:
        """Open one series of a TIFF file."""
        from dinocell.io.readers.tiff_image import open_tiff

        return open_tiff(file, scene, largest)

    def read_page(self, file: Path, page: int | None, channel: int | str | None) -> Page:
        """Read one plane, counted over all series and, within each, all axes but Y, X and channels."""
        from dinocell.io.readers.tiff_image import read_tiff

        with decoding(file, self.name):
            return read_tiff(file, page, channel)
