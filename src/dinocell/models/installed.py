"""Trained models that other distributions add: each is an entry point, whose package holds the checkpoint."""

import importlib.util
from pathlib import Path

GROUP = "dinocell.models"
"""Group of the entry points; such a one has the name of a variant, and names a package."""


def installed_folder(name: str) -> Path | None:
    """Find the folder of the package that holds a trained model; None where none is installed.

    Nothing of that package is run.
    """
    from importlib.metadata import entry_points

    for point in entry_points(group=GROUP, name=name):
        try:
            found = importlib.util.find_spec(point.module)
        except (ImportError, ValueError):  # what is left of a package that was removed
            continue
        for place in (found.submodule_search_locations or ()) if found is not None else ():
            return Path(place)
    return None
