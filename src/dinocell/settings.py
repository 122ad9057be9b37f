"""Settings: read from YAML, changed by hand, written with their meaning; what is wrong with them."""

import dataclasses
import difflib
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from dinocell.errors import ConfigError, FileMissingError
from dinocell.opening import read_whole
from dinocell.plain_yaml import parse_yaml

MAX_SETTINGS_BYTES = 2**20
"""Of a file of settings: reading YAML takes a second for so much."""

Settings = TypeVar("Settings", bound=BaseModel)


def _check_channel(value: object) -> object:
    """Validate a channel: pydantic alone would make 1 of true, and names each alternative in its errors."""
    if isinstance(value, bool) or not (value is None or (isinstance(value, int | str) and value != "")):
        raise ValueError(f"expected a name or a number from 0, not {value!r:.40}")
    if isinstance(value, int) and value < 0:
        raise ValueError(f"expected a name or a number from 0, not {value}")
    return value


Channel = Annotated[int | str | None, BeforeValidator(_check_channel)]
"""A channel by number or name, see `dinocell.readers.naming.choose`; None leaves the choice open."""


def _in_order(bounds: tuple[float, float]) -> tuple[float, float]:
    if not 0 < bounds[0] <= bounds[1] < math.inf:
        raise ValueError("expected two positive numbers, the lower one first")
    return bounds


Range = Annotated[tuple[float, float], AfterValidator(_in_order)]
"""Two positive numbers, the lower one first."""


class Section(BaseModel):
    """Values that belong together; frozen, and neither unknown names nor infinite numbers are taken."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


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
        If there is no such file, or it is none.
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
        What the settings are checked against.
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
        If there is no such file.
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
        raise ConfigError(f"{where}: {_explain(error, kind)}") from error


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


def first_problem(error: ValidationError) -> str:
    """Say where the first problem of a validation is, and what it is."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"])) or "the file"
    return f"{where}: {first['msg']}"


def _explain(error: ValidationError, model: type[BaseModel]) -> str:
    """One line for the first problem, with the nearest known key where one is unknown."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    if first["type"] == "missing":
        return f"{where} is missing: give it, or name a file that has it"
    if not where or first["type"] == "value_error":  # settings that do not fit each other
        return f"{where}: {first['msg']}".removeprefix(": ").replace("Value error, ", "")
    if first["type"] not in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{where}: {first['msg']}, not {_shown(first['input'])}"
    near = _nearest(where, model)
    return f"unknown key {where!r}" + (f": did you mean {near!r}?" if near else "")


def _shown(value: Any) -> str:
    try:
        return f"{value!r:.200}"
    except ValueError:  # Python writes no integer of thousands of digits
        return "so large a number"


def _nearest(where: str, model: type[BaseModel]) -> str | None:
    """Find the setting whose name is most like the last part of `where`, in its own section first."""
    section, _, key = re.sub(r"\.\d+\b", "", where).rpartition(".")
    names = list(_names(model))
    for known in ([name for name in names if name.rpartition(".")[0] == section], names):
        by_key = {name.rpartition(".")[2]: name for name in known}
        if near := difflib.get_close_matches(key, by_key, n=1):
            return by_key[near[0]]
    return None


def _names(model: Any) -> Iterator[str]:
    """Yield the dotted names of all settings, those of sections and of items of lists included."""
    if dataclasses.is_dataclass(model):
        yield from (field.name for field in dataclasses.fields(model))
    elif isinstance(model, type) and issubclass(model, BaseModel):
        for name, field in model.model_fields.items():
            yield name
            for part in (field.annotation, *get_args(field.annotation)):
                yield from (f"{name}.{inner}" for inner in _names(part))


def commented_yaml(settings: BaseModel) -> str:
    """Write settings as YAML with the meaning and the bounds of each as a comment above it.

    Returns
    -------
    str
        What `read_settings` reads back.
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
"""What YAML writes after a lone scalar."""

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
