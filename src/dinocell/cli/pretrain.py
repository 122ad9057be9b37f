"""`dinocell pretrain`: from images without labels to a backbone."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import Progress, TaskID

from dinocell.cli.inputs import check_exist
from dinocell.cli.progress import progress_bar
from dinocell.cli.terminal import console
from dinocell.io.settings_files import commented_yaml, read_settings

if TYPE_CHECKING:
    from dinocell.training import pretraining


def command(
    images: Annotated[
        list[Path] | None,
        typer.Argument(help="Image files, and folders to search with all folders in them."),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Run folder.")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file with the settings of the run.")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any setting, by its name in the file: optimiser.learning_rate=1e-4; may be repeated.",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Variant whose backbone to pretrain, see `dinocell models`.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last epoch in the run folder.")
    ] = False,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print all settings, with their meaning, and stop.")
    ] = False,
) -> None:
    """Pretrain a backbone on images without labels. Flags replace what the file says; `--set` replaces both.

    The run folder gets `backbone/`, `metrics.csv` and `state.pt`, once an epoch.
    """
    check_exist(config)
    if not print_config:
        check_exist(*(images or ()))
    from dinocell.training import pretraining

    settings = read_settings(
        pretraining.PretrainConfig, config, changes or (), images=images or None, output=output, model=model
    )
    if print_config:
        typer.echo(commented_yaml(settings), nl=False)
        return
    with progress_bar(keep=True) as bar:
        task = bar.add_task("reading images", total=settings.total_steps)
        for event in pretraining.pretraining_steps(settings, resume=resume):
            _show(event, bar, task)
    console.print(f"backbone: {escape(str(settings.output / pretraining.BACKBONE_FOLDER))}")


def _show(
    event: "pretraining.ImagesRead | pretraining.PretrainStep | pretraining.PretrainRecord",
    bar: Progress,
    task: TaskID,
) -> None:
    from dinocell.training import pretraining

    if isinstance(event, pretraining.ImagesRead):
        left_out = f", {len(event.skipped)} files left out" if event.skipped else ""
        console.print(f"{event.images} images{left_out}")
    elif isinstance(event, pretraining.PretrainStep):
        bar.update(task, completed=event.step, description=f"loss {event.loss:.4f}")
    else:
        console.print(
            f"epoch {event.epoch}: loss {event.loss:.4f} (DINO {event.dino:.4f}, iBOT {event.ibot:.4f}, "
            f"KoLeo {event.koleo:.4f}), entropy {event.entropy:.2f}, information {event.information:.2f}, "
            f"spread {event.spread:.2f}, rank {event.rank:.1f}, {event.seconds:.0f} s"
        )
