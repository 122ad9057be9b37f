"""Options that several commands share: which part of a file to read, and how to segment it."""

import math
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from dinocell.cli.progress import waiting
from dinocell.cli.terminal import console
from dinocell.errors import InputError
from dinocell.labels import DEFAULT_TARGET, TARGETS

if TYPE_CHECKING:
    from dinocell.inference.preset import Preset
    from dinocell.inference.settings import InferenceOptions
    from dinocell.io.pixel_size import PhysicalDiameter
    from dinocell.io.selection import Selection
    from dinocell.results.result_format import OverlayStyle
    from dinocell.workers.automatic import Crew

ChannelOption = Annotated[
    str | None,
    typer.Option(
        help="Name or number (from 0) of the channel to use, or several with commas: of DAPI,CD3 the first "
        "that an image has. name:1 or number:1 where it could be either."
    ),
]
SceneOption = Annotated[
    str | None,
    typer.Option(help="Name or number (from 0) of a scene; name:1 or number:1 where it could be either."),
]
MasksArgument = Annotated[
    Path | None,
    typer.Argument(help="Folder of their masks, where IMAGES holds none; of the same names, or NAME_masks."),
]
MasksOption = Annotated[
    Path | None,
    typer.Option(help="Folder of the masks, where --data is one folder of images alone."),
]
SplitComponentsOption = Annotated[
    bool | None,
    typer.Option(
        "--split-components/--no-split-components",
        help="Give every connected piece of an id in label images its own id, as binary masks need; or take "
        "the ids as they are. Default: refuse what looks like a mask.",
    ),
]
AnnotatesOption = Annotated[
    str | None,
    typer.Option(
        help=f"Target that the labels are of, {' or '.join(TARGETS)}. Default: the one that the data record, "
        f"else {DEFAULT_TARGET}.",
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(help="Name of a trained model, or a checkpoint folder. Default: the preset's, else nano."),
]
PresetOption = Annotated[Path | None, typer.Option(help="Settings that `dinocell tune` found.")]
PixelSizeOption = Annotated[
    str | None,
    typer.Option(
        help="Size of a pixel in micrometres, 0.65 or 0.65,0.33 for height and width, for files that do not "
        "say it."
    ),
]
DiameterUmOption = Annotated[
    float | None,
    typer.Option(
        help="Typical cell diameter in micrometres, for files that know their pixel size, or with "
        "--pixel-size."
    ),
]
SchedulerOption = Annotated[
    str | None,
    typer.Option(help="Address of a running dask scheduler, such as tcp://node:8786, whose workers do it."),
]
WorkersOption = Annotated[
    str | None,
    typer.Option(
        metavar="N|auto",
        help="Start so many processes here; auto: as many as pay with these cores, often none. "
        "Default: none but this one.",
    ),
]
ThreadsOption = Annotated[
    int | None, typer.Option(min=1, help="Threads of each process that --workers starts. Default: 1.")
]

FastOption = Annotated[
    bool,
    typer.Option(
        "--fast",
        help="Measure all engines on the sample images, once for this machine, and take the fastest whose "
        "labels are as good.",
    ),
]

NumbersOption = Annotated[
    bool, typer.Option("--numbers", help="Write the id of every cell on the overlay, as in the table.")
]
LegendOption = Annotated[
    bool,
    typer.Option(
        "--legend", help="Add a strip below the overlay: number of cells, target, scale bar in micrometres."
    ),
]


def parse_crew(
    workers: str | None,
    threads: int | None,
    scheduler: str | None,
    automatic: "Callable[[int | None], Crew]",
) -> "Crew":
    """Parse ``--workers`` and ``--threads``; print what ``auto`` has chosen.

    Raises
    ------
    InputError
        If the number of workers is none, or a scheduler has workers of its own.
    """
    from dinocell.workers.automatic import Crew

    if scheduler is not None and workers is not None:
        raise InputError(
            f"--scheduler {scheduler} and --workers {workers} are both given, expected one: leave out "
            "--workers to use the scheduler's own"
        )
    if workers == "auto":
        crew = automatic(threads)
        if crew.workers is not None and find_spec("distributed") is None:
            crew = Crew(None, crew.threads)
            console.print(escape('more processes need an extra: pip install "dinocell[large]"'))
        console.print(f"workers: {crew}")
        return crew
    if workers is None:
        return Crew(None, threads or 1)
    if not workers.isdecimal() or int(workers) < 1:
        raise InputError(f"--workers is {workers!r}, expected a number from 1, or auto")
    return Crew(int(workers), threads or 1)


def with_fastest(given: "InferenceOptions", model: str) -> "InferenceOptions":
    """Return options with the fastest engine and precision of this machine, and print which they are.

    Raises
    ------
    InputError
        If an engine or a precision was chosen as well.
    """
    for name in ("engine", "precision", "compiled"):
        if name in given:
            option = "compile" if name == "compiled" else name
            raise InputError(f"--fast chooses the engine, so --{option} has nothing to choose: leave one out")
    from dinocell.inference.fast import find_fastest

    with waiting("which engine is the fastest here"):
        found = find_fastest(model, device=given.get("device", "auto"))
    console.print(f"fast: {found}")
    return {**given, **found.chosen.options()}


def check_one_dataset(data: Sequence[Path], masks: Path | None) -> None:
    """Raise InputError for a folder of masks beside several datasets."""
    if masks is not None and len(data) > 1:
        raise InputError(
            f"--masks {masks} goes with one --data, but {len(data)} were given: name one at a time"
        )


def parse_selection(
    scene: str | None,
    channel: int | str | None,
    time: str | None,
    z: str | None,
    *,
    all_planes: bool = False,
) -> "Selection":
    """Parse the options that select a part of a file."""
    from dinocell.io.selection import Selection, parse_span

    return Selection(
        scene=scene,
        channel=channel,
        time=None if time is None else parse_span(time, "--time"),
        z=None if z in (None, "max", "mean") else parse_span(str(z), "--z"),
        projection="max" if z == "max" else "mean" if z == "mean" else None,
        all_planes=all_planes,
    )


def parse_physical_diameter(
    given: "InferenceOptions", diameter_um: float | None, pixel_size: str | None
) -> "PhysicalDiameter | None":
    """Parse the options of a diameter in micrometres, where a pixel size is for nothing else.

    Raises
    ------
    InputError
        If they are not such numbers, do not go together, or ``--diameter`` was given as well.
    """
    with_preset(given, None, diameter_um)
    if diameter_um is None and pixel_size is None:
        return None
    from dinocell.io.pixel_size import PhysicalDiameter, parse_pixel_size

    size = None if pixel_size is None else parse_pixel_size(pixel_size)
    if diameter_um is None and size is not None:
        raise InputError("--pixel-size is for --diameter-um here: give that as well, or leave it out")
    return None if diameter_um is None else PhysicalDiameter(diameter_um, size)


def parse_drawn_formats(texts: list[str], style: "OverlayStyle") -> tuple[str, ...]:
    """Parse names of formats; an overlay is among them where one is to show more than outlines."""
    from dinocell.results.formats import parse_formats
    from dinocell.results.overlay import OverlayFormat

    drawn = [OverlayFormat.name] if style.shown else []
    return parse_formats([*parse_formats(texts), *drawn])


def with_preset(
    inference: "InferenceOptions", preset: "Preset | None", diameter_um: float | None
) -> "InferenceOptions":
    """Return the settings of a preset, with those replaced that were given on the command line.

    Raises
    ------
    InputError
        If ``--diameter-um`` is not above 0 or ``--diameter`` was given as well.
    """
    if diameter_um is not None and "diameter" in inference:
        raise InputError("--diameter and --diameter-um were both given: leave one out")
    if diameter_um is not None and not (math.isfinite(diameter_um) and diameter_um > 0):
        raise InputError(f"--diameter-um is {diameter_um}, expected micrometres above 0")
    chosen: InferenceOptions = {**(preset.options() if preset else {}), **inference}
    if diameter_um is not None:
        chosen["diameter"] = None
    return chosen


def read_preset_for(path: Path, model: str | None) -> "Preset":
    """Read a preset; if a model is named, the preset must have been tuned for it."""
    from dinocell.inference.preset import read_preset

    preset = read_preset(path)
    if model not in (None, preset.model):
        raise InputError(
            f"--preset {path} was tuned for model {preset.model!r}, but --model is {model!r}: leave one out"
        )
    return preset
