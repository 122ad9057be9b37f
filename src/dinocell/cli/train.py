"""`dinocell train`: from annotated folders to a checkpoint."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from dinocell.cli.terminal import console, progress_bar


def command(
    config: Annotated[Path, typer.Option(help="YAML file with the settings of the run.")],
    output: Annotated[Path | None, typer.Option(help="Run folder; replaces the file's.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the run folder's last checkpoint.")
    ] = False,
) -> None:
    """Train a model; `last/`, `best_model/` and `metrics.csv` are written to the run folder every epoch."""
    from dinocell.training import EpochRecord, TrainConfig, training_steps

    overrides = {} if output is None else {"output": output}
    settings = TrainConfig.from_yaml(config, **overrides)
    with progress_bar(keep=True) as bar:
        task = bar.add_task("training", total=settings.total_steps)
        for event in training_steps(settings, resume=resume):
            if isinstance(event, EpochRecord):
                console.print(
                    f"epoch {event.epoch}: "
                    f"train {event.train_loss:.4f}, validation {event.validation_loss:.4f}, "
                    f"validation MSE {event.validation_mse:.5f}, {event.seconds:.0f} s"
                )
            else:
                bar.update(task, completed=event.step, description=f"loss {event.train_loss:.4f}")
    console.print(f"best model: {escape(str(settings.output / 'best_model'))}")
