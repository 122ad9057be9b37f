"""OME-XML in a TIFF file: what it says of images, and whether tifffile may follow it."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from dinocell.errors import DINOCellError, FileFormatError
from dinocell.planes import METADATA_ERRORS
from dinocell.readers.tiff_directories import MAX_PAGES, Directories, check_directories, first_description

_MAX_XML_NODES = 2**22
_MAX_FRAMES = 2**24  # the list that tifffile makes of the planes of an OME image
_NEIGHBOURS = (".tif", ".tiff", ".tf2", ".tf8", ".btf")


@dataclass
class OmeImage:
    """What OME-XML says of one image."""

    name: str
    pixels: dict[str, str] = field(default_factory=dict)
    channels: list[str] = field(default_factory=list)


class OmeScan:
    """Reads OME-XML as a stream: its images, the files it names, and how much it makes tifffile do."""

    def __init__(self, xml: str, n_pages: int, file: Path) -> None:
        self.images: list[OmeImage] = []
        self.files: set[str] = set()
        self.file, self.n_pages, self.frames = file, n_pages, 0
        if xml.count("<") + xml.count("=") > _MAX_XML_NODES:
            raise self._too_much(f"more than {_MAX_XML_NODES} elements and attributes")
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.StartDoctypeDeclHandler = self._doctype
        try:
            parser.Parse(xml, True)
        except expat.ExpatError:  # tifffile passes over broken XML as well
            self.images = []

    def _doctype(self, *_: object) -> None:
        raise FileFormatError(
            f"{self.file} has OME-XML with a DOCTYPE (entities can fill the memory or read other files), "
            "expected none: export it again"
        )

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        # tifffile goes by how tags end
        if tag.endswith("Image"):
            self.images.append(OmeImage(attributes.get("Name", "")))
        elif tag.endswith("Pixels") and self.images:
            self.images[-1].pixels = attributes
        elif tag.endswith("Channel") and self.images:
            self.images[-1].channels.append(attributes.get("Name", ""))
        elif tag.endswith("UUID") and "FileName" in attributes:
            self.files.add(attributes["FileName"])
        elif tag.endswith("TiffData"):
            planes = attributes.get(
                "PlaneCount", attributes.get("NumPlanes", "1" if "IFD" in attributes else "0")
            )
            self.frames += abs(int(planes)) or self.n_pages
            if self.frames > 4 * MAX_PAGES:
                raise self._too_much(f"more than {4 * MAX_PAGES} planes")
        elif tag[:-1].endswith("Along") and "Start" in attributes:
            first, last = float(attributes["Start"]), float(attributes.get("End", "nan"))
            if not abs(last - first) <= MAX_PAGES * abs(float(attributes.get("Step", 1))):
                raise self._too_much(f"more than {MAX_PAGES} values along an axis")

    def check_planes(self, smallest: int) -> None:
        """Refuse so many planes, or so large beside the smallest page, that tifffile's lists get huge."""
        planes = pixels = 0
        for image in self.images:
            sizes = [abs(int(image.pixels.get(f"Size{axis}", 1))) for axis in "TCZYX"]
            planes += math.prod(sizes[:3])
            pixels += math.prod(sizes)
        if planes > MAX_PAGES:
            raise self._too_much(f"{planes} planes, more than {MAX_PAGES}")
        if pixels > _MAX_FRAMES * smallest:
            raise self._too_much(f"{pixels} pixels in pages of {smallest}")

    def _too_much(self, what: str) -> FileFormatError:
        return FileFormatError(
            f"{self.file} has OME-XML that speaks of {what}, expected what a file can hold: export it again"
        )


def check_neighbours(scan: OmeScan, found: Directories) -> None:
    """Allow OME-XML to name TIFF files in the same folder, and nothing else, before tifffile opens them."""
    own = scan.file.resolve()
    for name in sorted(scan.files - {own.name}):
        neighbour = own.parent / name
        if (
            not name.lower().endswith(_NEIGHBOURS)
            or set(name) & set("/\\:\0")
            or neighbour.is_symlink()
            or (neighbour.exists() and not neighbour.is_file())
        ):
            raise FileFormatError(
                f"{scan.file} names another file in its OME-XML, {name[:80]!r}, expected plain names of "
                "TIFF files beside it, no links: export it again"
            )
        if neighbour.exists():
            below = check_directories(neighbour)
            found.smallest = min(found.smallest, below.smallest)


def ome_set(file: Path) -> tuple[Path, ...]:
    """List the files of the OME-TIFF set that a file is part of, which are read as one image.

    Only the description of the file itself is read.

    Returns
    -------
    tuple of Path
        Those that exist, sorted by name, the file itself among them as it was given; it alone where it is no
        OME-TIFF, names no other file, is not among those that it names, or is damaged.

    Raises
    ------
    OSError
        If the file cannot be opened.
    """
    description = first_description(file)
    if "FileName=" not in description:
        return (file,)
    try:
        names = OmeScan(description, 1, file).files
    except (DINOCellError, *METADATA_ERRORS):  # opening the file says what is wrong with it
        return (file,)
    own = file.resolve()
    if own.name not in names:
        return (file,)
    folder = file.parent if own.name == file.name else own.parent
    others = (folder / name for name in names - {own.name} if not set(name) & set("/\\:\0"))
    return tuple(sorted((file, *filter(Path.is_file, others)), key=lambda path: path.name))
