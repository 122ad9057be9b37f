"""Options that several commands share: which part of a file to read, and how to segment it."""

import math
from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from dinocell.errors import InputError
from dinocell.evaluation.preset import Preset, read_preset
from dinocell.inference.engines.engine import PRECISIONS, Precision
from dinocell.io.selection import Selection, parse_span

ChannelOption = Annotated[
    str | None,
    typer.Option(
        help="Name or number (from 0) of the channel to use; name:1 or number:1 where it could be either."
    ),
]
SceneOption = Annotated[
    str | None,
    typer.Option(help="Name or number (from 0) of a scene; name:1 or number:1 where it could be either."),
]
SplitComponentsOption = Annotated[
    bool | None,
    typer.Option(
        "--split-components/--no-split-components",
        help="Give every connected piece of an id in label images its own id, as binary masks need; or take "
        "the ids as they are. Default: refuse what looks like a mask.",
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(help="Name of a trained model, or a checkpoint folder. Default: the preset's, else nano."),
]
PresetOption = Annotated[Path | None, typer.Option(help="Settings that `dinocell tune` found.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
CellsMaxOption = Annotated[
    float | None, typer.Option(min=0, max=1, help="Lower finds fainter cells. Default: the model's.")
]
CellFillOption = Annotated[
    float | None, typer.Option(min=0, max=1, help="Lower makes cells wider. Default: the model's.")
]
MergeOption = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Lower joins more pieces; 1 joins none. Default: the model's."),
]
DiameterUmOption = Annotated[
    float | None,
    typer.Option(help="The same in micrometres, for files that know the size of their pixels."),
]
MinSizeOption = Annotated[int, typer.Option(min=0, help="Remove cells of fewer pixels.")]
TileSizeOption = Annotated[int | None, typer.Option(help="Side of a tile in pixels. Default: the model's.")]
OverlapOption = Annotated[int | None, typer.Option(help="Overlap of tiles in pixels. Default: the model's.")]
BatchSizeOption = Annotated[
    int | None,
    typer.Option(min=1, help="Tiles a forward pass. Default: 8 on a CPU, 64 on a GPU."),
]
EngineOption = Annotated[str, typer.Option(help="What runs the network: torch, onnx or openvino.")]
PrecisionOption = Annotated[
    str,
    typer.Option(
        "--precision",
        help="float32; bfloat16, faster where the processor has it (torch, openvino); int8 (onnx). "
        "auto: bfloat16 on CUDA, else float32.",
    ),
]
NoClaheOption = Annotated[bool, typer.Option("--no-clahe", help="Leave the contrast as it is.")]
SchedulerOption = Annotated[
    str | None,
    typer.Option(help="Address of a running dask scheduler, such as tcp://node:8786, whose workers do it."),
]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="Start so many processes here. Default: none but this one.")
]
ThreadsOption = Annotated[int, typer.Option(min=1, help="Threads of each process that --workers starts.")]


def parse_selection(
    scene: str | None,
    channel: int | str | None,
    time: str | None,
    z: str | None,
    *,
    all_planes: bool = False,
) -> Selection:
    """Parse the options that select a part of a file."""
    return Selection(
        scene=scene,
        channel=channel,
        time=None if time is None else parse_span(time, "--time"),
        z=None if z in (None, "max", "mean") else parse_span(str(z), "--z"),
        projection="max" if z == "max" else "mean" if z == "mean" else None,
        all_planes=all_planes,
    )


def parse_diameter(text: str | None, micrometres: float | None = None) -> float | Literal["auto"] | None:
    """Parse ``--diameter``: a number of pixels or 'auto'.

    Raises
    ------
    InputError
        If it is neither, or ``--diameter-um`` is not above 0 or was given as well.
    """
    if micrometres is not None and text is not None:
        raise InputError("--diameter and --diameter-um were both given: leave one out")
    if micrometres is not None and not (math.isfinite(micrometres) and micrometres > 0):
        raise InputError(f"--diameter-um is {micrometres}, expected micrometres above 0")
    if text is None or text == "auto":
        return None if text is None else "auto"
    try:
        diameter = float(text)
    except ValueError:
        diameter = math.nan
    if not (math.isfinite(diameter) and diameter > 0):
        raise InputError(f"--diameter is {text!r}, expected pixels above 0 or 'auto'")
    return diameter


def parse_precision(text: str) -> Precision:
    """Parse ``--precision``; an InputError lists the valid names."""
    if text not in PRECISIONS:
        raise InputError(f"--precision is {text!r}, expected one of {', '.join(PRECISIONS)}")
    return cast(Precision, text)


def read_preset_for(path: Path, model: str | None) -> Preset:
    """Read a preset; if a model is named, the preset must have been tuned for it."""
    preset = read_preset(path)
    if model not in (None, preset.model):
        raise InputError(
            f"--preset {path} was tuned for model {preset.model!r}, but --model is {model!r}: leave one out"
        )
    return preset
