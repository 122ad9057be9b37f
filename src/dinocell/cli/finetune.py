"""`dinocell finetune`: adapt a model to a few annotated images, and say whether that helped."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from dinocell.cli import options
from dinocell.cli.inputs import check_exist, check_model
from dinocell.cli.progress import progress_bar
from dinocell.cli.terminal import Notes, console
from dinocell.io.pixel_size import parse_pixel_size
from dinocell.io.settings_files import read_settings

if TYPE_CHECKING:
    from dinocell.training import finetuning


def command(
    images: Annotated[
        Path,
        typer.Argument(help="Annotated images, as `dinocell evaluate --data` takes them; one to twenty do."),
    ],
    masks: options.MasksArgument = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the model and its scores.")
    ] = Path("finetuned"),
    from_corrected: Annotated[
        Path | None,
        typer.Option(
            help="Folder of `segment` results that you corrected; NAME_unchecked.* marks what you did not."
        ),
    ] = None,
    accept_unchanged: Annotated[
        bool,
        typer.Option("--accept-unchanged", help="Also take results that are still as segment wrote them."),
    ] = False,
    model: Annotated[str, typer.Option(help="Name of a trained model, or a checkpoint folder.")] = "nano",
    learn: Annotated[
        str | None, typer.Option(help="decoder: on cached features of the frozen backbone; all: everything.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps a training.")] = None,
    variants: Annotated[int | None, typer.Option(help="Augmented crops of every image.")] = None,
    crop_size: Annotated[int | None, typer.Option(help="Side of a crop in pixels.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Crops a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Highest rate.")] = None,
    no_cross_validation: Annotated[
        bool, typer.Option("--no-cross-validation", help="Do not measure whether it helps: faster.")
    ] = False,
    folds: Annotated[int | None, typer.Option(help="Trainings of the cross-validation.")] = None,
    split_components: options.SplitComponentsOption = None,
    annotates: options.AnnotatesOption = None,
    channel: options.ChannelOption = None,
    diameter: Annotated[
        float | None,
        typer.Option(
            help="Typical cell diameter in pixels: images are rescaled to what the model is best at. "
            "Default: learn from them as they are."
        ),
    ] = None,
    diameter_um: options.DiameterUmOption = None,
    pixel_size: options.PixelSizeOption = None,
    seed: Annotated[int | None, typer.Option(help="Of crops, order and folds.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any setting, as in config.yaml; may be repeated."),
    ] = None,
) -> None:
    """Adapt a model to your images in minutes; cross-validation says whether it helps."""
    check_exist(images, masks, from_corrected)
    check_model(model)
    from dinocell.training import finetuning

    config = read_settings(
        finetuning.FinetuneConfig,
        None,
        changes or (),
        images=images,
        masks=masks,
        corrected=from_corrected,
        accept_unchanged=accept_unchanged,
        split_components=split_components,
        annotates=annotates,
        output=output,
        model=model,
        learn=learn,
        steps=steps,
        variants=variants,
        crop_size=crop_size,
        batch_size=batch_size,
        learning_rate=learning_rate,
        cross_validation=not no_cross_validation,
        folds=folds,
        channel=channel,
        diameter=diameter,
        diameter_um=diameter_um,
        pixel_size_um=None if pixel_size is None else parse_pixel_size(pixel_size),
        seed=seed,
        device=device,
    )
    _report(_run(config), config)


def _run(config: "finetuning.FinetuneConfig") -> "finetuning.FinetuneResult":
    """Run the fine-tuning; show a bar, and print a line for every image."""
    from dinocell.training import finetuning

    notes = Notes()
    with progress_bar() as bar:
        task = bar.add_task("images", total=None)
        for event in finetuning.finetune_steps(config):
            if isinstance(event, finetuning.FinetuneResult):
                result = event
            elif isinstance(event, finetuning.LeftOut):
                console.print(escape(f"{event.name}: left out, {event.reason}"))
            elif isinstance(event, finetuning.ImageRead):
                repairs = f" ({event.repairs})" if str(event.repairs) else ""
                console.print(escape(f"{event.name}: {event.cells} cells{repairs}"))
                notes.add(event.notes)
            elif isinstance(event, finetuning.CropsDone):
                bar.update(task, description="crops", completed=event.done, total=event.total)
            elif isinstance(event, finetuning.FinetuneStep):
                if event.step == 1:
                    console.print(_plan(event, config))
                name = f"training {event.training} of {event.trainings}, loss {event.loss:.4f}"
                bar.update(task, description=name, completed=event.step, total=event.total)
    notes.close()
    return result


def _plan(first: "finetuning.FinetuneStep", config: "finetuning.FinetuneConfig") -> str:
    """Describe how much there is to do."""
    if first.trainings == 1:
        return f"1 training of {config.steps} steps"
    return (
        f"{first.trainings} trainings of {config.steps} steps each: all but the last measure what to expect "
        "of images that it has not seen (--no-cross-validation leaves them out)"
    )


def _report(result: "finetuning.FinetuneResult", config: "finetuning.FinetuneConfig") -> None:
    if result.after:
        _print_scores(result)
    elif config.cross_validation:
        console.print(
            "one image with cells: nothing is left to check the result on; look at it before you trust it"
        )
    else:
        console.print(
            "whether the new model is better was not measured: compare before you use it, or leave "
            "--no-cross-validation out"
        )
    if result.times is not None:
        times = result.times
        console.print(
            f"cached features: {times.cached:.2f} s a step instead of {times.with_backbone:.2f} s, "
            f"{times.speed_up:.1f} times faster"
        )
    console.print(f"{result.seconds / 60:.1f} minutes; model: {escape(str(result.model))}")
    if result.helps is False:
        console.print(
            f"fine-tuning does not help here: keep the model as it is (--model {escape(config.model)})"
        )
    else:
        console.print(
            f"use it: dinocell segment IMAGES --model {escape(str(result.model))} --target {result.target}"
            f"{_size_options(config)} -o RESULTS"
        )


def _size_options(config: "finetuning.FinetuneConfig") -> str:
    """Return the options that rescale other images as those that were learned from."""
    if config.diameter is not None:
        return f" --diameter {config.diameter:g}"
    if (physical := config.physical_diameter) is None:
        return ""
    size = physical.pixel_size_yx_um
    return f" --diameter-um {physical.micrometres:g}" + (
        f" --pixel-size {size[0]:g},{size[1]:g}" if size else ""
    )


def _print_scores(result: "finetuning.FinetuneResult") -> None:
    from dinocell.metrics.pooling import pool
    from dinocell.metrics.score_table import HEADLINE, scores_shown

    before, after = pool(result.before.values()).by_name(), pool(result.after.values()).by_name()
    console.print("On images that the model did not learn from (cross-validation):")
    table = Table("score", "before", "after", box=None)
    for score in scores_shown("finetune"):
        table.add_row(score.title, f"{before[score.key]:.3f}", f"{after[score.key]:.3f}")
    for image in result.images:
        values = (scores[image].headline for scores in (result.before, result.after))
        table.add_row(escape(f"{HEADLINE.title} {image}"), *(f"{value:.3f}" for value in values))
    console.print(table)
