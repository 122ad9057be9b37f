"""Models that jobs may name: those that ship or are installed, and those that were adapted here."""

import functools
import re
from pathlib import Path

from dinocell.errors import UnknownModelError
from dinocell.models.checkpoint import read_config
from dinocell.models.finding import CONFIG_FILE
from dinocell.models.listing import ModelInfo, list_models
from dinocell.web.archive.archive import Archive
from dinocell.web.messages import Model

DEFAULT = "nano"

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}", re.ASCII)
"""Names of models that are adapted here."""


def known_models(archive: Archive) -> list[Model]:
    """List the trained models."""
    own = [
        Model(
            name=folder.name, description="adapted here", targets=list(read_config(folder).targets), own=True
        )
        for folder in sorted(archive.models_folder().iterdir())
        if (folder / CONFIG_FILE).is_file()
    ]
    return [*_shipped_models(), *own]


@functools.cache
def _shipped_models() -> tuple[Model, ...]:
    """List the models that are installed, once: looking through all packages takes half a second."""
    return tuple(
        Model(name=each.name, description=_describe(each), targets=list(each.targets), own=False)
        for each in list_models()
        if each.trained
    )


def _describe(model: ModelInfo) -> str:
    """Return what a model outlines and is, for people."""
    millions = (model.backbone_parameters + model.decoder_parameters) / 1e6
    return f"outlines {' and '.join(model.targets)}; {model.title}, {millions:.1f} million parameters"


def find_model(archive: Archive, name: object) -> str:
    """Return what `dinocell.models` calls a model: its name, or the folder of one that was adapted here.

    Raises
    ------
    UnknownModelError
        If it is none of `known_models`: a client never names a folder.
    """
    found = {each.name: each for each in known_models(archive)}
    if not isinstance(name, str) or name not in found:
        raise UnknownModelError(f"model is {name!r:.60}, expected one of {', '.join(found)}")
    return str(model_folder(archive, name)) if found[name].own else name


def model_folder(archive: Archive, name: str) -> Path:
    """Return the folder of a model that is adapted here."""
    return archive.models_folder() / name
