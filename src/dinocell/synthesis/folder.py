"""Write a set of drawn images into a folder, and go on where it stopped."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dinocell.errors import OutputError
from dinocell.io.saving import atomic_path, create_folder, write_image
from dinocell.io.settings_files import commented_yaml, read_settings
from dinocell.synthesis.drawing import draw
from dinocell.synthesis.recipes import RECIPES
from dinocell.synthesis.settings import SynthesisSettings

RECIPE_FILE = "recipe.yaml"
"""File of a set with the settings that it was drawn with."""

ANNOTATES_FILE = "annotates.yaml"
"""File of a folder of annotated images that says whether their labels outline cells or nuclei."""


@dataclass(frozen=True)
class ImageWritten:
    """Progress of a set: one more image is there.

    Attributes
    ----------
    name : str
        The files are ``NAME_img.png`` and ``NAME_masks.png``.
    done, total : int
        Images of the set; those of an earlier start are counted.
    """

    name: str
    done: int
    total: int


def synthesize(settings: SynthesisSettings, number: int, output: Path) -> Iterator[ImageWritten]:
    """Write images and their labels; started again, it continues where it stopped.

    Parameters
    ----------
    settings : SynthesisSettings
    number : int
        Images that the folder has at the end; more than at an earlier start adds to them.
    output : Path
        Folder; a new or empty one, or one of the same settings.

    Yields
    ------
    ImageWritten
        After every image.

    Raises
    ------
    OutputError
        If the folder cannot be written to, or holds other files than those of such a set.
    ConfigError
        If it holds a record of a set that cannot be read.
    """
    create_folder(output)
    _begin(settings, output)
    for index in range(number):
        name = f"{settings.recipe}_{index:05d}"
        image_file, labels_file = output / f"{name}_img.png", output / f"{name}_masks.png"
        if not (image_file.exists() and labels_file.exists()):
            image, labels = draw(settings, index)
            write_image(image_file, image)
            write_image(labels_file, labels.astype(np.uint16))
        yield ImageWritten(name, index + 1, number)


def _begin(settings: SynthesisSettings, output: Path) -> None:
    """Write the records of a set, or check that those which are there are the same."""
    record = output / RECIPE_FILE
    if record.exists():
        found = read_settings(SynthesisSettings, record)
        if found != settings:
            differing = [
                f"{name} {getattr(found, name)}, not {getattr(settings, name)}"
                for name in SynthesisSettings.model_fields
                if getattr(found, name) != getattr(settings, name)
            ]
            raise OutputError(
                f"{output} holds images of other settings ({'; '.join(differing)}), expected the same: "
                "choose another folder with -o"
            )
        return
    if any(output.iterdir()):
        raise OutputError(
            f"{output} holds other files, expected a new or empty folder: choose another with -o"
        )
    with atomic_path(output / ANNOTATES_FILE) as temporary:
        temporary.write_text(f"annotates: {RECIPES[settings.recipe].annotates}\n", encoding="utf-8")
    with atomic_path(record) as temporary:
        temporary.write_text(commented_yaml(settings), encoding="utf-8")
