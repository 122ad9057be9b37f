"""Settings in YAML: read from a file, changed by ``NAME=VALUE``, and written with their meaning."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from dinocell.errors import ConfigError, FileMissingError
from dinocell.io.opening import read_whole
from dinocell.io.plain_yaml import parse_yaml
from dinocell.settings import explain_problem

MAX_SETTINGS_BYTES = 2**20
"""Most bytes of a file of settings: reading so much YAML takes a second."""

Settings = TypeVar("Settings", bound=BaseModel)


def read_yaml(path: Path, *, remedy: str) -> dict[str, Any]:
    """Read a YAML file of settings.

    Parameters
    ----------
    path : Path
    remedy : str
        Advice at the end of the error message if the file does not exist.

    Raises
    ------
    FileMissingError
        If the file does not exist or cannot be read.
    ConfigError
        If it is not YAML, has more than `MAX_SETTINGS_BYTES`, or holds no settings.
    """
    try:
        text = read_whole(path, MAX_SETTINGS_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise FileMissingError(f"cannot read {path}: {error.strerror}. {remedy}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not YAML: it is not text in UTF-8 ({error})") from error
    values = parse_yaml(text, f"{path}")
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no settings: expected lines such as `model: nano`")
    return values


def read_settings(
    kind: type[Settings], path: Path | None = None, changes: Sequence[str] = (), /, **values: Any
) -> Settings:
    """Read settings from a YAML file and change some of them.

    Parameters
    ----------
    kind : pydantic model
        The model that the settings are checked against.
    path : Path, optional
        The file; the defaults otherwise.
    changes : sequence of str
        As ``optimiser.learning_rate=3e-5``: a name as in the file, and a value in YAML. They replace those of
        the file and of `values`.
    **values
        Replace those of the file; None replaces nothing.

    Returns
    -------
    kind

    Raises
    ------
    FileMissingError
        If the file does not exist.
    ConfigError
        If it is not YAML, has an unknown key, or a value out of bounds.

    Examples
    --------
    >>> class Walk(BaseModel):
    ...     steps: int = 1
    >>> read_settings(Walk, None, ["steps=3"])
    Walk(steps=3)
    """
    settings = {} if path is None else read_yaml(path, remedy="Give a YAML file")
    settings |= {key: value for key, value in values.items() if value is not None}
    for change in changes:
        _change(settings, change)
    try:
        return kind.model_validate(settings)
    except ValidationError as error:
        where = "the settings" if path is None else str(path)
        raise ConfigError(f"{where}: {explain_problem(error, kind)}") from error


def _change(settings: dict[str, Any], change: str) -> None:
    name, equals, text = change.partition("=")
    *sections, key = name.strip().split(".")
    if not equals or not key:
        raise ConfigError(
            f"{change!r} changes no setting: expected NAME=VALUE, as optimiser.learning_rate=3e-5"
        )
    for section in sections:
        inner = settings.get(section)
        settings[section] = settings = dict(inner) if isinstance(inner, dict) else {}
    settings[key] = parse_yaml(text, f"{change!r:.200}: {text!r:.100}")


def commented_yaml(settings: BaseModel) -> str:
    """Convert settings to YAML, with the meaning and the bounds of each as a comment above it.

    Returns
    -------
    str
        Text that `read_settings` reads back.
    """
    return "\n".join(_commented(settings)) + "\n"


def _commented(settings: BaseModel) -> Iterator[str]:
    values = settings.model_dump(mode="json")
    for name, field in type(settings).model_fields.items():
        if field.description:
            yield f"# {field.description}{_bounds(field)}"
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            yield f"{name}:"
            yield from (f"  {line}" for line in _commented(value))
        else:
            text = yaml.safe_dump(values[name], default_flow_style=True, allow_unicode=True, width=math.inf)
            yield f"{name}: {text.removesuffix(_END_OF_SCALAR).strip()}"


_END_OF_SCALAR = "...\n"
"""Text that YAML writes after a lone scalar."""

_SIGNS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤", "multiple_of": "multiple of"}


def _bounds(field: FieldInfo) -> str:
    parts = (field.annotation, *get_args(field.annotation))
    choices = [choice for part in parts for choice in get_args(part) if isinstance(choice, str)]
    found = [
        f"{sign} {getattr(bound, key)}"
        for bound in field.metadata
        for key, sign in _SIGNS.items()
        if getattr(bound, key, None) is not None
    ]
    if choices:
        found = [" | ".join(choices)]
    return f" ({', '.join(found)})" if found else ""
