"""`dinocell train`: from annotated folders to a checkpoint."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from dinocell.cli import options
from dinocell.cli.inputs import check_exist
from dinocell.cli.progress import progress_bar
from dinocell.cli.terminal import console
from dinocell.io.settings_files import commented_yaml, read_settings


def command(
    config: Annotated[Path | None, typer.Option(help="YAML file with the settings of the run.")] = None,
    model: Annotated[str | None, typer.Option(help="Variant to train, see `dinocell models`.")] = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="What its backbone begins with: pretrained, a path, a Hugging Face id; see docs."),
    ] = None,
    train: Annotated[
        list[Path] | None, typer.Option(help="Annotated folder or store to learn from; may be repeated.")
    ] = None,
    validation: Annotated[
        list[Path] | None, typer.Option(help="The same, for early stopping; may be repeated.")
    ] = None,
    split_components: options.SplitComponentsOption = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Run folder.")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any setting, by its name in the file: optimiser.learning_rate=3e-5; may be repeated.",
        ),
    ] = None,
    wandb: Annotated[
        bool | None, typer.Option("--wandb", help="Log to Weights & Biases as well, where it is installed.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the run folder's last checkpoint.")
    ] = False,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print all settings, with their meaning, and stop.")
    ] = False,
) -> None:
    """Train a model. Flags replace what the file says; `--set` replaces both.

    The run folder gets `last/`, `best_model/`, `metrics.csv`, `tensorboard/` and `environment.json`, once an
    epoch. Several GPUs: `torchrun --nproc-per-node 4 -m dinocell train …`.
    """
    check_exist(config)
    if not print_config:
        check_exist(*(train or ()), *(validation or ()))
    from dinocell import training

    settings = read_settings(
        training.TrainConfig,
        config,
        [*_begin_with(backbone), *(changes or ())],
        model=model,
        train=_datasets(train),
        validation=_datasets(validation),
        split_components=split_components,
        output=output,
        wandb=wandb,
    )
    if print_config:
        typer.echo(commented_yaml(settings.resolved()), nl=False)
        return
    console.quiet = (
        os.environ.get("RANK", "0") != "0"
    )  # of several processes that torchrun starts, one speaks
    if resume and not (settings.output / "last").exists():
        console.print(f"no checkpoint in {escape(str(settings.output))}: starting anew")
    last = 0
    with progress_bar(keep=True) as bar:
        task = bar.add_task("training", total=settings.total_steps)
        for event in training.training_steps(settings, resume=resume):
            if isinstance(event, training.CropsCached):
                text = f"running the backbone on {event.total} crops, once"
                bar.update(task, completed=event.done, total=event.total, description=text)
            elif isinstance(event, training.EpochRecord):
                last = event.epoch
                console.print(
                    f"epoch {event.epoch}: "
                    f"train {event.train_loss:.4f}, validation {event.validation_loss:.4f}, "
                    f"validation MSE {event.validation_mse:.5f}, {event.seconds:.0f} s"
                )
            else:
                total = event.total_steps
                bar.update(
                    task, completed=event.step, total=total, description=f"loss {event.train_loss:.4f}"
                )
    if not last:
        console.print("nothing was left to do: raise epochs, or patience where that ended the run")
    elif last < settings.epochs:
        console.print(f"stopped: for {settings.patience} epochs the validation loss has not fallen")
    console.print(f"best model: {escape(str(settings.output / 'best_model'))}")


def _begin_with(backbone: str | None) -> list[str]:
    return [] if backbone is None else [f"backbone.weights={json.dumps(backbone)}"]


def _datasets(folders: list[Path] | None) -> list[dict[str, Path]] | None:
    return [{"path": folder} for folder in folders] if folders else None
