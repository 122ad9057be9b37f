"""Settings of inference: one field an option, off which all that offers, checks or records it is read."""

import math
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict, TypeVar, Unpack

from pydantic import BeforeValidator, Field, ValidationError

from dinocell.errors import InputError
from dinocell.labels import Target
from dinocell.postprocess.small_cells import MinSize
from dinocell.postprocess.thresholds import SHORT_NAMES, Thresholds
from dinocell.settings import Section, explain_problem

if TYPE_CHECKING:
    from dinocell.models.configuration import ModelConfig

EngineName = Literal["auto", "onnx", "torch", "openvino"]
"""Engines that run a network; ``auto`` is chosen by `dinocell.inference.engines.start.choose_engine`."""

Precision = Literal["auto", "float32", "bfloat16", "int8"]
"""Numbers a network computes with: ``auto`` is bfloat16 on CUDA, else float32; ``int8`` in linear layers."""

TargetChoice = Literal["auto", "cells", "nuclei"]
"""A target, or its choice for each image by `dinocell.inference.targets`."""

Diameter = float | Literal["auto"] | None
"""Typical cell diameter in pixels; ``auto`` estimates it, None (``none``) takes the image as it is."""


@dataclass(frozen=True)
class Option:
    """Description of a setting to those who offer or record it.

    Attributes
    ----------
    help : str
        Line of help for the command line.
    flag : str
        Name on the command line, where it is not the field's.
    record : {"always", "changed", "never"}
        Whether results record it, so that another value makes them anew: always, if it is not at its default,
        or never, as it does not decide about labels.
    """

    help: str
    flag: str = ""
    record: Literal["always", "changed", "never"] = "changed"


def _check_diameter(value: object) -> object:
    if value is None or value == "none":
        return None
    if value == "auto":
        return value
    try:
        pixels = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        pixels = math.nan
    if not (math.isfinite(pixels) and pixels > 0):
        raise ValueError(f"expected pixels above 0, 'auto' or 'none', not {value!r:.40}")
    return pixels


def _check_whole(value: object) -> object:
    """Return a whole number, NumPy's too; pydantic alone would take ``"256"`` and 256.0 for one."""
    if value is None:
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise ValueError(f"expected a whole number, not {value!r:.40}") from None


def _check_count(value: object) -> object:
    """Return a number of pixels of a cell, which computations may leave as a float."""
    return int(value) if isinstance(value, float) and value.is_integer() else _check_whole(value)


def _check_min_size(value: object) -> object:
    """Return ``auto``, or a number of pixels that may be a text, as on the command line."""
    if value == "auto":
        return value
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    pixels = _check_count(value)
    if not isinstance(pixels, int) or pixels < 0:
        raise ValueError(f"expected 0 or more pixels, or 'auto', not {value!r:.40}")
    return pixels


_Whole = BeforeValidator(_check_whole)


class RunSettings(Section):
    """Settings that may differ from image to image; presets hold them.

    Attributes
    ----------
    target : {"auto", "cells", "nuclei"}
        What is outlined; ``auto`` chooses once an image (see `dinocell.inference.targets`).
    diameter : float, "auto" or None
        Typical cell diameter in pixels: the image is rescaled to what the model is best at. ``auto``
        estimates it, and shrinks images of cells that are larger (see `dinocell.inference.autoscale`); None
        takes the image as it is.
    thresholds : Thresholds, optional
        The checkpoint's for the target otherwise.
    min_size : int or "auto"
        Cells of fewer pixels are removed; ``auto`` takes a share of the image's median cell (see
        `dinocell.postprocess.small_cells`), 0 removes none.
    fill_holes : bool
        Whether background enclosed by one cell becomes part of it.
    """

    target: Annotated[
        TargetChoice, Option("Outline cells or nuclei; auto chooses for each image.", record="always")
    ] = "auto"
    diameter: Annotated[
        Diameter,
        BeforeValidator(_check_diameter),
        Option(
            "Typical cell diameter in pixels: the image is rescaled to what the model is best at. auto "
            "shrinks images of larger cells; none takes the image as it is.",
            record="always",
        ),
    ] = "auto"
    thresholds: Annotated[Thresholds | None, Option("", record="always")] = None
    min_size: Annotated[
        MinSize,
        BeforeValidator(_check_min_size),
        Option(
            "Remove cells of fewer pixels; auto: of less than a tenth of the image's median cell, or a "
            "fiftieth of its median nucleus; 0: none.",
            record="always",
        ),
    ] = "auto"
    fill_holes: Annotated[bool, Option("Background that one cell encloses becomes part of it.")] = False


class InferenceSettings(RunSettings):
    """All settings of inference.

    Attributes
    ----------
    target, diameter, thresholds, min_size, fill_holes
        See `RunSettings`.
    device : str
        ``auto`` (CUDA, else MPS, else CPU) or a torch device such as ``cuda:1``.
    tile_size, overlap : int, optional
        In pixels; the checkpoint's otherwise.
    batch_size : int, optional
        Tiles a forward pass; otherwise what the device is good for.
    engine : str
        What runs the network: ``auto`` (``torch`` on a GPU, else ``onnx`` where the model has a file for it),
        ``onnx``, ``torch``, which needs the extra of that name, or ``openvino``, which needs ``export``.
    precision : str
        What it computes with: ``auto`` (bfloat16 on CUDA, else float32), ``float32``, ``bfloat16`` (``torch``
        and ``openvino``; faster on CPUs that have instructions for it) or ``int8`` (``onnx``).
    compiled : bool
        For ``torch``: translate the network first, which takes a minute and pays on GPUs with much to do.
    clahe : bool, optional
        Whether to even out the local contrast; the checkpoint's otherwise.
    """

    device: Annotated[str, Option("auto, cpu, cuda or mps.", record="never")] = "auto"
    tile_size: Annotated[
        int | None, _Whole, Option("Side of a tile in pixels. Default: the model's.", record="always")
    ] = None
    overlap: Annotated[
        int | None, _Whole, Option("Overlap of tiles in pixels. Default: the model's.", record="always")
    ] = None
    batch_size: Annotated[
        int | None,
        Field(ge=1),
        _Whole,
        Option("Tiles a forward pass. Default: 8 on a CPU, 64 on a GPU.", record="never"),
    ] = None
    engine: Annotated[
        EngineName,
        Option(
            "What runs the network: onnx, torch, openvino; auto: torch on a GPU, else onnx.",
            record="never",
        ),
    ] = "auto"
    precision: Annotated[
        Precision,
        Option(
            "float32; bfloat16, faster where the processor has it (torch, openvino); int8 (onnx). "
            "auto: bfloat16 on CUDA, else float32."
        ),
    ] = "auto"
    compiled: Annotated[
        bool,
        Option(
            "Translate the network for a minute first; pays for much on a GPU.", "--compile", record="never"
        ),
    ] = False
    clahe: Annotated[bool | None, Option("Leave the contrast as it is.", "--no-clahe", record="never")] = (
        None  # recorded with the preprocessing
    )

    def completed(self, config: "ModelConfig", **options: Unpack["InferenceOptions"]) -> "CompleteSettings":
        """Replace some settings, and fill in what is left to the model.

        Parameters
        ----------
        config : ModelConfig
        **options
            Settings by name; a number of `Thresholds` by its own name, or one of `SHORT_NAMES`, replaces that
            number alone.

        Raises
        ------
        InputError
            If a setting is unknown or out of bounds, or the model lacks the target.
        """
        given = _long_names({**options})
        numbers = {name: given.pop(name, None) for name in Thresholds.model_fields}
        whole = given.pop("thresholds", None) or self.thresholds
        bases = {name: whole or self._own_thresholds(name, config) for name in config.targets}
        chosen = _validated(InferenceSettings, _values(self) | given | {"thresholds": None})
        tile_size = config.tile_size if chosen.tile_size is None else chosen.tile_size
        own_overlap = min(config.overlap, tile_size // 2)
        filled = {
            "target": _find_target(chosen.target, config),
            "thresholds_of": {name: base.replaced(**numbers) for name, base in bases.items()},
            "tile_size": tile_size,
            "overlap": own_overlap if chosen.overlap is None else chosen.overlap,
            "clahe": config.preprocessing.clahe if chosen.clahe is None else chosen.clahe,
        }
        return _validated(CompleteSettings, _values(chosen) | filled)

    def _own_thresholds(self, target: Target, config: "ModelConfig") -> Thresholds:
        """Return the thresholds of a target where none are given."""
        return config.targets[target].thresholds


def _long_names(options: dict[str, Any]) -> dict[str, Any]:
    """Return options with the fields' own names in place of short ones."""
    for short, name in SHORT_NAMES.items():
        value = options.pop(short, None)
        if value is None:
            continue
        if options.get(name) is not None:
            raise InputError(f"{short} and {name} are two names of one option, expected one of them")
        options[name] = value
    return options


def _find_target(chosen: TargetChoice, config: "ModelConfig") -> TargetChoice:
    """Return the target; the only one of a model that has no other, so that nothing is left to choose."""
    known = tuple(config.targets)
    if chosen == "auto":
        return known[0] if len(known) == 1 else "auto"
    if chosen not in known:
        raise InputError(
            f"target is {chosen!r}, but model {config.variant!r} was trained for {' and '.join(known)} only: "
            f"choose {' or '.join(known)}, or another model"
        )
    return chosen


class CompleteSettings(InferenceSettings):
    """Settings of inference of which none is left to the model.

    Attributes
    ----------
    thresholds : None
        Always; they are in `thresholds_of`.
    thresholds_of : dict of str to Thresholds
        By target, in the order of the model's maps.
    fixed_scale : float, optional
        Factor on both sides of the image, in place of the diameter, where one was chosen for many images.
    """

    fixed_scale: Annotated[float | None, Field(gt=0), Option("")] = None
    thresholds: Annotated[None, Option("", record="never")] = None
    thresholds_of: dict[Target, Thresholds]
    tile_size: Annotated[int, Option("", record="always")]
    overlap: Annotated[int, Option("", record="always")]
    clahe: Annotated[bool, Option("", record="never")]

    def __hash__(self) -> int:
        return hash(self.model_dump_json())

    @property
    def targets(self) -> tuple[Target, ...]:
        """Targets that are to be chosen from, in the order of the model's maps; often one."""
        return tuple(self.thresholds_of) if self.target == "auto" else (self.target,)

    def _own_thresholds(self, target: Target, config: "ModelConfig") -> Thresholds:
        return self.thresholds_of[target]

    def recorded(self) -> dict[str, Any]:
        """Return the settings that decide about labels, as JSON values: those that results record."""
        options = {name: option_of(name) for name in InferenceSettings.model_fields}
        values = self.model_dump(mode="json")
        by_target = {name: values["thresholds_of"][name] for name in self.targets}
        values["thresholds"] = by_target[self.target] if self.target != "auto" else by_target
        fixed = {} if self.fixed_scale is None else {"fixed_scale": self.fixed_scale}
        return fixed | {
            name: values[name]
            for name, option in options.items()
            if option.record == "always"
            or (option.record == "changed" and values[name] != InferenceSettings.model_fields[name].default)
        }


class RunOptions(TypedDict, total=False):
    """Keywords of `RunSettings`, and the numbers of `Thresholds` by both of their names, for one call."""

    target: TargetChoice
    diameter: Diameter
    thresholds: Thresholds | None
    cells_max: float | None
    cell_fill: float | None
    cells_max_threshold: float | None
    cell_fill_threshold: float | None
    merge: float | None
    regrow: bool | None
    min_size: MinSize
    fill_holes: bool


class InferenceOptions(RunOptions, total=False):
    """Keywords of `InferenceSettings`, and the numbers of `Thresholds`."""

    device: str
    tile_size: int | None
    overlap: int | None
    batch_size: int | None
    engine: str
    precision: str
    compiled: bool
    clahe: bool | None


def option_of(name: str) -> Option:
    """Return the description of a setting."""
    (option,) = (m for m in InferenceSettings.model_fields[name].metadata if isinstance(m, Option))
    return option


AnySettings = TypeVar("AnySettings", bound=InferenceSettings)


def _validated(kind: type[AnySettings], values: dict[str, Any]) -> AnySettings:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise InputError(explain_problem(error, kind)) from error


def _values(settings: InferenceSettings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in InferenceSettings.model_fields}
