"""Presets: settings that suit a user's images, found by `dinocell tune`, used by `segment --preset`."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError

from dinocell.errors import ConfigError
from dinocell.io.saving import atomic_path
from dinocell.io.settings_files import read_yaml
from dinocell.postprocess.thresholds import Thresholds
from dinocell.settings import Channel, Section, first_problem


class Preset(Section):
    """Settings of a segmentation, found by tuning.

    Attributes
    ----------
    model : str
        Name of a trained model, or a checkpoint folder.
    channel : int or str, optional
        Of the file, by number (from 0) or name; None takes gray or colour as it is.
    diameter : float, optional
        As `DINOCellPipeline.run` takes it, in pixels: it decides by how much images are rescaled, and is the
        one that scores best, which need not be the median cell's.
    thresholds : Thresholds
    tuned : dict
        The images that it was tuned on, and the scores.
    """

    model: str
    channel: Channel = None
    diameter: float | None = Field(default=None, gt=0)
    thresholds: Thresholds
    tuned: dict[str, Any] = Field(default_factory=dict)


def read_preset(path: Path) -> Preset:
    """Read a preset.

    Raises
    ------
    FileMissingError
        If the file does not exist.
    ConfigError
        If it is not YAML, or has an unknown key or a value out of bounds.
    """
    remedy = "Make one with `dinocell tune`"
    values = read_yaml(path, remedy=remedy)
    try:
        return Preset.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{path} is not a preset: {first_problem(error)}. {remedy}") from error


def write_preset(path: Path, preset: Preset) -> None:
    """Write a preset as YAML.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    text = yaml.safe_dump(preset.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
