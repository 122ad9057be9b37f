"""Presets: settings that suit one's own images, found by `dinocell tune`, taken by ``preset`` everywhere."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from dinocell.errors import ConfigError, InputError
from dinocell.inference.settings import RunOptions, RunSettings
from dinocell.io.saving import atomic_path
from dinocell.io.settings_files import read_yaml
from dinocell.postprocess.thresholds import Thresholds
from dinocell.settings import Channel, first_problem

_REMEDY = "Make one with `dinocell tune`"


class Preset(RunSettings):
    """Settings of a segmentation that were tuned for a model and a kind of images.

    Attributes
    ----------
    model : str
        Name of a trained model, or a checkpoint folder.
    channel : int or str, optional
        Of the file, by number (from 0) or name; None takes gray or colour as it is.
    target : {"auto", "cells", "nuclei"}
        What is outlined.
    diameter : float, "auto" or None
        In pixels: it decides by how much images are rescaled, and is the one that scores best, which need not
        be the median cell's.
    thresholds : Thresholds
    min_size, fill_holes
        See `dinocell.inference.settings.RunSettings`.
    tuned : dict
        Images it was tuned on, and the scores.
    """

    model: str
    channel: Channel = None
    thresholds: Thresholds
    tuned: dict[str, Any] = Field(default_factory=dict)

    def options(self) -> RunOptions:
        """Return the settings that the preset holds."""
        held = [name for name in RunSettings.model_fields if name in self.model_fields_set]
        return cast("RunOptions", {name: getattr(self, name) for name in held})

    def pick_channel(self, image: NDArray[Any]) -> NDArray[Any]:
        """Return the channel of an image (Y, X, C) that the preset names by number; gray stays as it is.

        Raises
        ------
        InputError
            If the preset names the channel by its name, which an array does not hold, or there are fewer.
        """
        if self.channel is None or image.ndim < 3:  # what is neither gray nor in channels is refused later
            return image
        if not isinstance(self.channel, int) or self.channel >= image.shape[2]:
            raise InputError(
                f"the preset is for channel {self.channel!r}, which an array of shape {image.shape} does not "
                "have: pass the channel alone, as an array (Y, X)"
            )
        return image[:, :, self.channel]


def open_preset(preset: Preset | Mapping[str, Any] | str | Path) -> Preset:
    """Read a preset from its file, or from a mapping as such a file holds; errors as `read_preset`."""
    if isinstance(preset, Preset):
        return preset
    return _validated(preset, "preset") if isinstance(preset, Mapping) else read_preset(Path(preset))


def read_preset(path: Path) -> Preset:
    """Read a preset.

    Raises
    ------
    FileMissingError
        If the file does not exist.
    ConfigError
        If it is not YAML, or has an unknown key or a value out of bounds.
    """
    return _validated(read_yaml(path, remedy=_REMEDY), str(path))


def _validated(values: Mapping[str, Any], where: str) -> Preset:
    try:
        return Preset.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{where} is not a preset: {first_problem(error)}. {_REMEDY}") from error


def write_preset(path: Path, preset: Preset) -> None:
    """Write a preset as YAML.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    values = preset.model_dump(mode="json")
    held = {name: values[name] for name in RunSettings.model_fields if name in preset.model_fields_set}
    ordered = {"model": preset.model, "channel": preset.channel, **held, "tuned": values["tuned"]}
    text = yaml.safe_dump(ordered, sort_keys=False, allow_unicode=True)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
