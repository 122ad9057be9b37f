"""Settings: sections of values that are validated once, and what is wrong with those that are not valid."""

import dataclasses
import difflib
import math
import re
from collections.abc import Iterator
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError


def _check_channel(value: object) -> object:
    """Validate a channel: pydantic alone would make 1 of true, and names each alternative in its errors."""
    if isinstance(value, bool) or not (value is None or (isinstance(value, int | str) and value != "")):
        raise ValueError(f"expected a name or a number from 0, not {value!r:.40}")
    if isinstance(value, int) and value < 0:
        raise ValueError(f"expected a name or a number from 0, not {value}")
    return value


Channel = Annotated[int | str | None, BeforeValidator(_check_channel)]
"""A channel by number or name, see `dinocell.io.readers.naming.choose`; None leaves the choice open."""


def _in_order(bounds: tuple[float, float]) -> tuple[float, float]:
    if not 0 < bounds[0] <= bounds[1] < math.inf:
        raise ValueError("expected two positive numbers, the lower one first")
    return bounds


Range = Annotated[tuple[float, float], AfterValidator(_in_order)]
"""Two positive numbers, the lower one first."""


class Section(BaseModel):
    """Values that belong together; frozen, and neither unknown names nor infinite numbers are taken."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def first_problem(error: ValidationError) -> str:
    """Describe the first problem of a validation: where it is, and what it is."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"])) or "the file"
    return f"{where}: {first['msg']}"


def explain_problem(error: ValidationError, model: type[BaseModel]) -> str:
    """Describe the first problem in one line, with the nearest known key where one is unknown."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    if first["type"] == "missing":
        return f"{where} is missing: give it, or name a file that has it"
    if not where or first["type"] == "value_error":  # settings that do not fit each other
        return f"{where}: {first['msg']}".removeprefix(": ").replace("Value error, ", "")
    if first["type"] not in ("extra_forbidden", "unexpected_keyword_argument"):
        # pydantic's "Input should be …" does not fit into a sentence of ours.
        expected = first["msg"].replace("Input should be", "expected")
        return f"{where}: {expected}, not {_shown(first['input'])}"
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
