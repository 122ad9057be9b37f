"""NGFF, the metadata of OME-Zarr, read and built: versions up to 0.4 on Zarr 2, and 0.5 on Zarr 3.

The versions differ in two ways, which only this module knows. An image of two levels and its labels:

====================  =============================  =====================================================
file                  up to 0.4                      0.5
====================  =============================  =====================================================
``zarr.json``                                        ``{"attributes": {"ome": {"multiscales": [...]}}}``
``.zattrs``           ``{"multiscales": [...]}``
``0/``, ``1/``        arrays with ``.zarray``        arrays with ``zarr.json``
``labels/cells/``     a group of the same kind       a group of the same kind
====================  =============================  =====================================================
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dinocell.io.readers.units import micrometres, positive, seconds
from dinocell.io.readers.zarr_folder import inside, read_json

ON_ZARR_3 = "0.5"
"""The version of NGFF whose arrays and groups are those of Zarr 3."""

_AXES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}  # types by letter
_LETTERS = {"time": "t", "channel": "c"}  # of the types that one axis has alone
_MAX_LEVELS = 2**8


@dataclass(frozen=True)
class Multiscale:
    """One image of an OME-Zarr: the same pixels at several levels, the first the finest.

    Attributes
    ----------
    root : Path
        The folder that nothing outside of is read.
    group : Path
        The group that describes the image.
    number : int
        Which of the group's images this is.
    version : str
        Of NGFF.
    axes : str
        Some of t, c, z, y, x in the order of the arrays.
    described : mapping
        Its entry of ``multiscales``, as stored.
    omero : mapping
        The group's ``omero``, where it has one.
    """

    root: Path
    group: Path
    number: int
    version: str
    axes: str
    described: Mapping[str, Any]
    omero: Mapping[str, Any]

    @property
    def levels(self) -> tuple[Path, ...]:
        """Folders of the arrays, the finest first."""
        return tuple(inside(self.root, self.group, level["path"]) for level in self.described["datasets"])

    @property
    def steps(self) -> dict[str, float]:
        """Distances of pixels in micrometres and of times in seconds, for the axes whose unit is known."""
        scale = [1.0] * len(self.axes)
        for stored in (self.described, self.described["datasets"][0]):
            for transform in stored.get("coordinateTransformations") or ():
                if transform.get("type") == "scale" and "scale" in transform:
                    scale = [a * float(b) for a, b in zip(scale, transform["scale"], strict=True)]
        steps = {}
        for letter, axis, step in zip(self.axes, self.described.get("axes", ()), scale, strict=False):
            unit = axis.get("unit") if isinstance(axis, dict) else None
            length = positive(step, (seconds if letter == "t" else micrometres)(unit))
            if length is not None:
                steps[letter] = length
        return steps


def read_attributes(root: Path, group: Path) -> tuple[str, dict[str, Any]]:
    """Read the version of NGFF of a group, and its attributes (0.5: those under ``ome``)."""
    stored = read_json(root, group / "zarr.json")
    if stored is not None:
        attributes = stored.get("attributes", {}).get("ome", {})
        return str(attributes.get("version", ON_ZARR_3)), attributes
    attributes = read_json(root, group / ".zattrs") or {}
    return "0.4", attributes


def read_multiscales(root: Path, group: Path) -> list[Multiscale]:
    """Read all images that a group describes, perhaps none."""
    version, attributes = read_attributes(root, group)
    return [
        Multiscale(
            root, group, number, version, _axes_of(described), described, attributes.get("omero") or {}
        )
        for number, described in enumerate(attributes.get("multiscales", ()))
    ]


def _axes_of(described: Mapping[str, Any]) -> str:
    """Return the axes of an image, one letter each; before version 0.3 they were not written down."""
    if not 0 < len(described["datasets"]) <= _MAX_LEVELS:
        raise ValueError(f"an image of {len(described['datasets'])} levels, expected 1 to {_MAX_LEVELS}")
    letters = []
    for axis in described.get("axes", "".join(_AXES)):
        name, kind = (axis, None) if isinstance(axis, str) else (axis["name"], axis.get("type"))
        letters.append(_LETTERS.get(str(kind)) or str(name).lower())
    if len(set(letters)) < len(letters) or not {"y", "x"} <= set(letters) <= set(_AXES):
        raise ValueError(f"axes {', '.join(letters)[:60]}, expected y, x and perhaps t, c, z")
    return "".join(letters)


def array_file(version: str) -> str:
    """Return the name of the file that describes an array."""
    return "zarr.json" if version == ON_ZARR_3 else ".zarray"


def read_group(root: Path, group: Path, version: str) -> dict[str, Any]:
    """Read all attributes of a group, 0.5 with ``ome`` among them; empty if it has none."""
    if version == ON_ZARR_3:
        return dict((read_json(root, group / "zarr.json") or {}).get("attributes", {}))
    return read_json(root, group / ".zattrs") or {}


def group_files(version: str, attributes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the contents of the files that a folder needs to be a group with these attributes."""
    if version == ON_ZARR_3:
        return {"zarr.json": {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)}}
    return {".zgroup": {"zarr_format": 2}, ".zattrs": dict(attributes)}


def axis_entry(letter: str, unit: str | None = None) -> dict[str, str]:
    """Return the entry of an axis.

    Examples
    --------
    >>> axis_entry("y", "micrometer")
    {'name': 'y', 'type': 'space', 'unit': 'micrometer'}
    """
    return {"name": letter, "type": _AXES[letter]} | ({} if unit is None else {"unit": unit})


def level_entry(number: int, transforms: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the entry of a level whose array is named by its number."""
    return {"path": str(number), "coordinateTransformations": list(transforms)}


def scale_entry(factors: Iterable[float]) -> dict[str, Any]:
    """Return the transformation that scales the axes."""
    return {"type": "scale", "scale": list(factors)}


def select_axes(described: Mapping[str, Any], kept: Sequence[int]) -> list[dict[str, Any]]:
    """Return the transformations of an image or level, for the axes that are kept."""
    return [
        {
            key: [value[at] for at in kept] if key in ("scale", "translation") else value
            for key, value in transform.items()
        }
        for transform in described.get("coordinateTransformations") or ()
    ]


def label_attributes(
    version: str,
    axes: Sequence[Mapping[str, Any]],
    levels: Sequence[Mapping[str, Any]],
    *,
    transforms: Sequence[Mapping[str, Any]] = (),
    source: str | None = None,
) -> dict[str, Any]:
    """Return the attributes of a group of labels.

    Parameters
    ----------
    version : str
    axes, levels : sequence of mapping
        Entries as in `axis_entry` and `level_entry`.
    transforms : sequence of mapping
        That all levels have in common.
    source : str, optional
        Path from the group to its image.
    """
    entry: dict[str, Any] = {"name": "labels", "type": "nearest", "axes": axes, "datasets": levels}
    if transforms:
        entry["coordinateTransformations"] = transforms
    label: dict[str, Any] = {} if source is None else {"source": {"image": source}}
    if version == ON_ZARR_3:
        return {"ome": {"version": version, "multiscales": [entry], "image-label": label}}
    entry["version"] = label["version"] = version
    return {"multiscales": [entry], "image-label": label}


def list_label(version: str, attributes: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """Return the attributes of a group ``labels`` with one name more; None if it is listed already."""
    ome = attributes.get("ome", {}) if version == ON_ZARR_3 else attributes
    if name in ome.get("labels", ()):
        return None
    ome = {**ome, "labels": [*ome.get("labels", ()), name]}
    return {**attributes, "ome": {"version": version, **ome}} if version == ON_ZARR_3 else ome
