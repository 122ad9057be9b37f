"""`dinocell compare`: score a model beside Cellpose, StarDist, SAMCell or other tools on the same images."""

import contextlib
import functools
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from dinocell import evaluation, inference
from dinocell.cli import options
from dinocell.cli.inference_options import inference_options
from dinocell.cli.inputs import check_exist
from dinocell.cli.outputs import dataset_names
from dinocell.cli.progress import progress_bar
from dinocell.cli.terminal import Notes, console
from dinocell.errors import InputError
from dinocell.inference.settings import InferenceOptions

if TYPE_CHECKING:
    from dinocell.datasets.items import Item
    from dinocell.evaluation.baselines.script_tool import ScriptTool

TABLE_FILE = "comparison.csv"
OWN = "dinocell"

_TITLE = "Pooled over cells, every tool with its own defaults: no threshold was tuned here"


@inference_options(only=("target",))
def command(
    data: Annotated[
        list[Path], typer.Option(help="Annotated data, as `dinocell evaluate` takes it. May be repeated.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help=f"Folder for {TABLE_FILE}.")],
    tools: Annotated[
        str, typer.Option(help="Which of dinocell, cellpose, stardist and samcell, with commas.")
    ] = "dinocell,cellpose,stardist,samcell",
    python: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TOOL=PATH", help="Python of the environment that has a tool. Default: DINOCell's own."
        ),
    ] = None,
    tool: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=SCRIPT",
            help="One more tool: a script as dinocell/evaluation/baselines/baseline_job.py says.",
        ),
    ] = None,
    tool_model: Annotated[
        list[str] | None,
        typer.Option(metavar="TOOL=MODEL", help="Model of a tool: a file, a folder or a name it knows."),
    ] = None,
    masks: options.MasksOption = None,
    channel: options.ChannelOption = None,
    model: Annotated[str, typer.Option(help="DINOCell's: a trained model, or a checkpoint folder.")] = "nano",
    split_components: options.SplitComponentsOption = None,
    *,
    given: InferenceOptions,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps, for every tool.")] = "auto",
    timeout: Annotated[
        float | None, typer.Option(help="Stop a tool that takes more seconds for one image.")
    ] = None,
) -> None:
    """Print and write SEG, DET, OP_CSB, AP, F1, PQ, MMA and times of tools on the same images."""
    options.check_one_dataset(data, masks)
    check_exist(*data, masks)
    from dinocell.datasets.formats import open_dataset
    from dinocell.io.saving import create_folder

    own_settings: InferenceOptions = {**given, "device": device}
    chosen = _choose_tools(
        [name.strip() for name in tools.split(",") if name.strip()],
        scripts=_named("--tool", tool),
        pythons=_named("--python", python),
        models=_named("--tool-model", tool_model),
        own=functools.partial(inference.DINOCellPipeline, model, **own_settings),
        device=device,
        timeout=timeout,
    )
    datasets: dict[Path, Sequence[Item]] = {
        folder: open_dataset(folder, masks, channel=channel, split_components=split_components)
        for folder in data
    }
    create_folder(output)
    results = _run(datasets, chosen, output / TABLE_FILE)
    console.print(_table(results, datasets))
    ran = [result for result in results if result.images]
    if not ran or any(result.reason or any(image.failure for image in result.images) for result in ran):
        raise typer.Exit(1)


def _named(option: str, values: list[str] | None) -> dict[str, str]:
    """Read what is given as NAME=VALUE."""
    named: dict[str, str] = {}
    for value in values or ():
        name, equals, what = value.partition("=")
        if not (name and equals and what) or name in named:
            raise InputError(f"{option} is {value!r}, expected NAME=… and each name once")
        named[name] = what
    return named


def _choose_tools(
    names: list[str],
    *,
    scripts: dict[str, str],
    pythons: dict[str, str],
    models: dict[str, str],
    own: Callable[[], "inference.DINOCellPipeline"],
    device: str,
    timeout: float | None,
) -> "list[evaluation.OwnTool | ScriptTool]":
    from dinocell.evaluation.baselines.script_tool import BASELINES, ScriptTool

    known = {OWN, *BASELINES}
    if len(set(names)) < len(names) or not set(names) <= known:
        raise InputError(f"--tools is {','.join(names)!r}, expected each once of {', '.join(sorted(known))}")
    if taken := known & set(scripts):
        raise InputError(f"--tool {min(taken)} has the name of a tool that DINOCell knows: choose another")
    files = {name: BASELINES[name] for name in names if name != OWN}
    files |= {name: Path(script) for name, script in scripts.items()}
    for option, given in (("--python", pythons), ("--tool-model", models)):
        if unused := set(given) - set(files):
            raise InputError(f"{option} names {min(unused)!r}, expected one of {', '.join(files) or 'none'}")
    others = [
        ScriptTool(name, file, pythons.get(name, sys.executable), device, models.get(name), timeout)
        for name, file in files.items()
    ]
    return [evaluation.OwnTool(OWN, own), *others] if OWN in names else list(others)


def _run(
    datasets: "dict[Path, Sequence[Item]]", tools: "list[evaluation.OwnTool | ScriptTool]", file: Path
) -> "list[evaluation.ToolResult]":
    """Run the tools; after each, the table holds all that is known."""
    from dinocell.reports.tables import write_table

    items = [item for pairs in datasets.values() for item in pairs]
    results: list[evaluation.ToolResult] = []
    notes = Notes()
    with progress_bar() as bar, contextlib.closing(evaluation.compare(items, tools)) as steps:
        tasks = {tool.name: bar.add_task(escape(tool.name), total=len(items)) for tool in tools}
        for step in steps:
            if isinstance(step, evaluation.ToolProgress):
                bar.update(tasks[step.tool], completed=step.done)
            else:
                results.append(step)
                notes.add(step.notes)
                write_table(file, evaluation.comparison_rows(results, datasets))
    notes.close()
    return results


def _table(results: "list[evaluation.ToolResult]", datasets: "dict[Path, Sequence[Item]]") -> Table:
    from dinocell.metrics.score_table import scores_shown

    shown = scores_shown("compare")
    table = Table("dataset", "tool", title=_TITLE)
    for heading in (*(score.title for score in shown), "s/image"):
        table.add_column(heading, no_wrap=True)
    table.add_column("note", min_width=24)
    split = [list(evaluation.split_by_dataset(result, datasets)) for result in results]
    for number, name in enumerate(dataset_names(list(datasets))):
        for result, parts in zip(results, split, strict=True):
            part = parts[number]
            values = part.scores.by_name() if part.scores else None
            seconds = part.median_seconds
            table.add_row(
                escape(name),
                escape(" ".join(filter(None, (result.tool, result.version, result.model, result.device)))),
                *(f"{values[score.key]:.3f}" if values else "–" for score in shown),
                "–" if math.isnan(seconds) else f"{seconds:.2f}",
                escape(part.note),
            )
        table.add_section()
    return table
