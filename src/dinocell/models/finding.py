"""Trained models, found by name or path."""

from pathlib import Path

from dinocell.errors import UnknownModelError, UntrainedModelError
from dinocell.io.opening import is_folder
from dinocell.models.installed import installed_folder
from dinocell.models.variants import VARIANTS

PACKAGES = {"dinov2-small": "dinocell-dinov2-small"}
"""Distributions that hold a trained model where this one does not, by its name."""

SHIPPED = Path(__file__).parent / "shipped"
"""Folder of the trained models that are part of the package."""

CONFIG_FILE = "config.json"
"""File of a checkpoint folder that describes the network."""


def find_checkpoint(name_or_path: str | Path) -> Path:
    """Find the folder of a model by name or path; errors as `DINOCell.from_pretrained`."""
    name, folder = str(name_or_path), Path(name_or_path)
    if name in VARIANTS:
        if (trained := trained_folder(name)) is not None:
            return trained
        own = f" (the folder of that name is ./{name})" if folder.is_dir() else ""
        package = PACKAGES.get(name, "")
        install = f"install the package {package} where you have it (see docs/models.md), " if package else ""
        raise UntrainedModelError(
            f"model {name!r} has no trained weights here{own}: {install}train it with `dinocell train`, "
            "or choose one that `dinocell models` lists as trained"
        )
    if is_folder(folder):
        return folder
    raise UnknownModelError(
        f"no model and no folder is called {name!r}. "
        f"Known models: {', '.join(VARIANTS)} (see `dinocell models`); or give a checkpoint folder"
    )


def trained_folder(name: str) -> Path | None:
    """Find the checkpoint of a variant: in this package, or in one that adds it."""
    for folder in (SHIPPED / name, installed_folder(name)):
        if folder is not None and (folder / CONFIG_FILE).is_file():
            return folder
    return None
