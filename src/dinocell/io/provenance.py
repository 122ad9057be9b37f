"""The record of how labels were made, back from the TIFF that holds them."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import tifffile

from dinocell.io.planes import METADATA_ERRORS

NAMESPACE = "dinocell"


def read_provenance(path: Path) -> dict[str, Any] | None:
    """Read how labels were made, as `dinocell.io.saving.write_labels` stored it.

    Parameters
    ----------
    path : Path

    Returns
    -------
    dict or None
        None where a file is no TIFF or has no such record, or a damaged one.
    """
    try:
        with tifffile.TiffFile(path) as tif:
            text = tif.ome_metadata
        if not text or "<!DOCTYPE" in text:  # which could define entities without end
            return None
        root = ElementTree.fromstring(text)  # noqa: S314 (without a DOCTYPE there are no entities)
        for node in root.iter():
            if node.tag.endswith("CommentAnnotation") and node.get("Namespace") == NAMESPACE:
                value = json.loads("".join(node.itertext()))
                return value if isinstance(value, dict) else None
    except (OSError, ElementTree.ParseError, tifffile.TiffFileError, RecursionError, *METADATA_ERRORS):
        return None
    return None
