"""`dinocell tune`: the settings that suit a few annotated images, as a preset for `segment`."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from dinocell import evaluation, inference
from dinocell.cli import options
from dinocell.cli.inputs import check_exist, check_model
from dinocell.cli.progress import progress_bar
from dinocell.cli.terminal import Notes, console
from dinocell.errors import InputError
from dinocell.labels import TARGETS


def command(
    images: Annotated[
        Path,
        typer.Argument(help="Annotated images, as `dinocell evaluate --data` takes them; one to five do."),
    ],
    masks: options.MasksArgument = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The preset.")] = Path("preset.yaml"),
    model: Annotated[str, typer.Option(help="Name of a trained model, or a checkpoint folder.")] = "nano",
    channel: options.ChannelOption = None,
    split_components: options.SplitComponentsOption = None,
    annotates: Annotated[
        str | None,
        typer.Option(
            help=f"Target that the labels are of, {' or '.join(TARGETS)}. Default: the one that the data "
            "record, else the one whose map fits best."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    workers: Annotated[int | None, typer.Option(min=0, help="Processes. Default: cores.")] = None,
) -> None:
    """Find target, diameter, thresholds, merge and channel for your images; no network is trained."""
    check_exist(images, masks)
    check_model(model)
    from dinocell.datasets.annotates import recorded_target
    from dinocell.datasets.formats import open_originals
    from dinocell.io.saving import create_folder
    from dinocell.metrics.score_table import HEADLINE

    if output.exists():
        raise InputError(f"{output} exists: choose another -o, or delete it")
    create_folder(output.parent)
    items = open_originals(images, masks, channel=channel, split_components=split_components)
    pipeline = inference.DINOCellPipeline(model, device=device)
    with progress_bar() as bar:
        task = bar.add_task("distance maps", total=None)
        for event in evaluation.tune(
            pipeline,
            items,
            target=recorded_target(images, masks, given=annotates),
            workers=os.cpu_count() or 1 if workers is None else workers,
        ):
            if isinstance(event, evaluation.TuneResult):
                result = event
            else:
                bar.update(task, completed=event.done, total=event.total)
    notes = Notes()
    notes.add(result.notes)
    notes.close()
    scores = {"before": result.before, "after": result.after, "cross-validated": result.cross_validated}
    shown = {name: round(of.headline, 4) for name, of in scores.items() if of is not None}
    preset = inference.Preset(
        model=model,
        channel=result.best.channel if channel is None else channel,
        target=result.best.target,
        diameter=result.diameter,
        thresholds=result.best.thresholds,
        tuned={"images": [item.name for item in items], HEADLINE.key: shown, "notes": list(result.notes)},
    )
    inference.write_preset(output, preset)
    console.print(f"{HEADLINE.title} with the model's own settings: {result.before.headline:.3f}")
    if result.cross_validated is None:
        console.print("one image: nothing is left to check the settings on, so expect less than it shows")
    else:
        console.print(
            f"to be expected of tuned ones (cross-validated): {result.cross_validated.headline:.3f}"
        )
    console.print(f"tuned on all {len(items)} images: {result.after.headline:.3f}")
    found = result.cross_validated or result.after
    if not HEADLINE.is_better(found.headline, result.before.headline):
        console.print("tuning does not help here: the model's own settings are as good")
    channel = "gray or colour as they are" if preset.channel is None else f"channel {preset.channel}"
    diameter = "the size as it is" if preset.diameter is None else f"diameter {preset.diameter:.4g} px"
    console.print(f"{preset.target}, {channel}, {diameter}, {preset.thresholds}")
    console.print(f"use it: dinocell segment IMAGES --preset {escape(str(output))}")
