"""Reading settings from files: what is in them, and what is wrong with them in one line."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from dinocell.errors import ConfigError, FileMissingError


def read_yaml(path: Path, *, remedy: str) -> dict[str, Any]:
    """Read a YAML file of settings.

    Parameters
    ----------
    path : Path
    remedy : str
        What the error message advises when there is none.

    Raises
    ------
    FileMissingError
        If there is no such file.
    ConfigError
        If it is not YAML, or holds no settings.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileMissingError(f"cannot read {path}: {error.strerror}. {remedy}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no settings: expected lines such as `model: nano`")
    return values


def first_problem(error: ValidationError) -> str:
    """Say where the first problem of a validation is, and what it is."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"])) or "the file"
    return f"{where}: {first['msg']}"
