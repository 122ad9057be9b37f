"""OME-XML in a TIFF file: the images it describes, and whether tifffile may follow it."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from dinocell.errors import DINOCellError, FileFormatError
from dinocell.io.planes import METADATA_ERRORS
from dinocell.io.readers.tiff_directories import MAX_PAGES, Directories, check_directories, first_description

_MAX_XML_NODES = 2**22
_MAX_FRAMES = 2**24  # the list that tifffile makes of the planes of an OME image
_NEIGHBOURS = (".tif", ".tiff", ".tf2", ".tf8", ".btf")


@dataclass
class OmeImage:
    """Description of one image in OME-XML."""

    name: str
    pixels: dict[str, str] = field(default_factory=dict)
    channels: list[str] = field(default_factory=list)


class OmeScan:
    """Scan of OME-XML as a stream: its images, the files it names, and how much work it gives tifffile."""

    def __init__(self, xml: str, n_pages: int, file: Path) -> None:
        self.images: list[OmeImage] = []
        self.files: set[str] = set()
        self.has_places = False  # whether planes name the file they are in
        self.elsewhere = ""  # the file that has the OME-XML of the set
        self.file, self.n_pages, self.frames = file, n_pages, 0
        if xml.count("<") + xml.count("=") > _MAX_XML_NODES:
            raise self._too_much(f"more than {_MAX_XML_NODES} elements and attributes")
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.StartDoctypeDeclHandler = self._doctype
        try:
            parser.Parse(xml, True)
        except expat.ExpatError:  # tifffile passes over broken XML as well
            self.images, self.files, self.has_places = [], set(), False

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
        elif tag.endswith("UUID"):
            self.has_places = True
            self.files |= {attributes["FileName"]} if "FileName" in attributes else set()
        elif tag.endswith("BinaryOnly"):
            self.elsewhere = attributes.get("MetadataFile", "")
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
        """Raise FileFormatError for so many planes, or so large ones, that tifffile's lists get huge."""
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


def own_xml(scan: OmeScan, xml: str) -> str | None:
    """Return OME-XML in which the file's own planes name no file, so that no other file is read for them.

    Its own planes are those under its name. If only one file is named at all, all planes are its own: it was
    renamed or copied.

    Parameters
    ----------
    scan : OmeScan
        The scan of this XML.
    xml : str

    Returns
    -------
    str or None
        None if several files are named and this one is not: which planes are its own is not known.
    """
    if not scan.has_places:
        return xml
    root = ElementTree.fromstring(xml)  # noqa: S314 (the scan has refused entities)
    planes = [data for data in root.iter() if data.tag.endswith("TiffData")]
    places = [(data, place) for data in planes for place in data if place.tag.endswith("UUID")]
    own = scan.file.resolve().name
    is_alone = len(scan.files) < 2
    if not is_alone and own not in scan.files:
        return None
    for data, place in places:
        if is_alone or place.get("FileName") == own:
            data.remove(place)
        else:  # the name decides, as identifiers need not be unique
            place.text = place.get("FileName")
    root.attrib.pop("UUID", None)
    scan.files = set() if is_alone else scan.files - {own}
    return ElementTree.tostring(root, encoding="unicode")


def check_neighbours(scan: OmeScan, found: Directories) -> dict[str, Directories]:
    """Check that OME-XML names TIFF files in the same folder and nothing else, before tifffile opens them.

    Returns
    -------
    dict
        Findings of a walk over each of them, by name.
    """
    folder = scan.file.resolve().parent
    neighbours: dict[str, Directories] = {}
    for name in sorted(scan.files):
        neighbour = folder / name
        if not _may_be_followed(neighbour, name):
            raise FileFormatError(
                f"{scan.file} names another file in its OME-XML, {name[:80]!r}, expected plain names of "
                "TIFF files beside it, no links: export it again"
            )
        if neighbour.exists():
            neighbours[name] = check_directories(neighbour)
            found.smallest = min(found.smallest, neighbours[name].smallest)
    return neighbours


def _may_be_followed(neighbour: Path, name: str) -> bool:
    """Return whether a name in OME-XML is the plain name of a TIFF file that is not a link."""
    if not name.lower().endswith(_NEIGHBOURS) or set(name) & set("/\\:\0") or neighbour.is_symlink():
        return False
    return neighbour.is_file() or not neighbour.exists()


def ome_set(file: Path) -> tuple[Path, ...]:
    """Return the files of the OME-TIFF set that a file is part of, which are read as one image.

    Only the description of the file itself is read.

    Returns
    -------
    tuple of Path
        Those that exist, sorted by name, with the file itself as it was given. Only that file if it is not an
        OME-TIFF, names no other file, is not among those that it names, or is damaged.

    Raises
    ------
    OSError
        If the file cannot be opened.
    """
    description = first_description(file)
    is_ome = description[-10:].strip().endswith("OME>")  # as tifffile decides
    if not is_ome or "FileName=" not in description:
        return (file,)
    try:
        names = OmeScan(description, 1, file).files
    except (DINOCellError, *METADATA_ERRORS):  # the error is raised when it is opened
        return (file,)
    own = file.resolve()
    if own.name not in names:
        return (file,)
    folder = own.parent if file.is_symlink() else file.parent
    others = [folder / name for name in names - {own.name} if _may_be_followed(folder / name, name)]
    there = [path for path in others if path.is_file()]
    return tuple(sorted((file, *there), key=lambda path: path.name))
