"""Options of the command line for settings of inference, read off the fields of `InferenceSettings`."""

import functools
import inspect
import types
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

import typer

from dinocell.inference.settings import InferenceOptions, InferenceSettings, option_of

THRESHOLDS = {
    "cells_max": ("cells_max_threshold", "Lower finds fainter cells. Default: the model's."),
    "cell_fill": ("cell_fill_threshold", "Lower makes cells wider. Default: the model's."),
    "merge": ("merge", "Lower joins more pieces; 1 joins none. Default: the model's."),
}
"""Options for single numbers of `Thresholds`: their names, and what they say."""


def inference_options(
    *,
    only: tuple[str, ...] = (),
    texts: Mapping[str, str] = MappingProxyType({}),
) -> Callable[..., Any]:
    """Replace a command's parameter ``given`` by an option for every setting.

    The command is called with a mapping of the settings that were given, by the names of `InferenceOptions`;
    what was left to a preset or the model is not in it.

    Parameters
    ----------
    only : tuple of str
        Fields of `InferenceSettings` that the command has; otherwise all.
    texts : mapping
        Lines of help, by field, where the command has another than `Option.help`.
    """
    fields = only or tuple(InferenceSettings.model_fields)

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        options = [option for name in fields for option in _options(name, texts.get(name, ""))]
        parameters: list[inspect.Parameter] = []
        for parameter in inspect.signature(command).parameters.values():
            parameters += options if parameter.name == "given" else [parameter]

        @functools.wraps(command)
        def wrapped(**values: Any) -> None:
            texts = {option.name: values.pop(option.name) for option in options}
            command(**values, given=_given(texts))

        wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return wrapped

    return decorate


def _options(name: str, text: str) -> Iterator[inspect.Parameter]:
    if name == "thresholds":
        for short, (_, line) in THRESHOLDS.items():
            yield _parameter(short, float, None, help=line, min=0, max=1)
        return
    field, described = InferenceSettings.model_fields[name], option_of(name)
    kind = _plain_type(field.annotation)
    flags = [described.flag or f"--{name.replace('_', '-')}"]
    text = text or described.help
    if kind is bool:
        yield _parameter(name, bool, False, *flags, help=text)
        return
    if field.default is not None:
        text += f" Default: {field.default}."
    least = next((m.ge for m in field.metadata if hasattr(m, "ge")), None)
    yield _parameter(name, kind, None, *flags, help=text, min=least)


def _parameter(name: str, kind: type, default: object, *flags: str, **settings: Any) -> inspect.Parameter:
    read = kind if default is not None else kind | None
    annotation = Annotated[read, typer.Option(*flags, **settings)]  # type: ignore[valid-type]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _plain_type(annotation: Any) -> type:
    """Return the type that the command line reads: text for what has several."""
    if get_origin(annotation) in (types.UnionType, Union):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return _plain_type(kinds[0]) if len(kinds) == 1 else str
    return str if get_origin(annotation) is Literal else annotation


def _given(texts: dict[str, Any]) -> InferenceOptions:
    """Leave out what was not given; values are checked with the settings."""
    given: dict[str, Any] = {}
    for name, value in texts.items():
        if value is None or value is False:
            continue
        given[THRESHOLDS[name][0] if name in THRESHOLDS else name] = value
    if "clahe" in given:  # its option is --no-clahe
        given["clahe"] = False
    return cast("InferenceOptions", given)
