"""`dinocell synthesize`: draws images of cells, with their labels, by rules."""

from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from dinocell import synthesis
from dinocell.cli.progress import progress_bar
from dinocell.cli.terminal import console, print_whole
from dinocell.errors import InputError
from dinocell.io.settings_files import read_settings


def command(
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="Kind of image to draw, see --list.", metavar="NAME")
    ] = None,
    number: Annotated[
        int, typer.Option("--number", "-n", min=1, max=100_000, help="Number of images.")
    ] = 100,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder; it gets annotates.yaml and recipe.yaml, too."),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same images.")] = 0,
    size: Annotated[int, typer.Option(help="Side of an image in pixels, 64 to 2048.")] = 320,
    diameters: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="MIN MAX",
            help="Smallest and largest median diameter of the cells of an image in pixels. Default: 8 200.",
        ),
    ] = None,
    show_list: Annotated[bool, typer.Option("--list", help="List the recipes, and stop.")] = False,
) -> None:
    """Draw images of cells by rules, to train on: writes NAME_img.png and NAME_masks.png.

    The labels are drawn first, then what a microscope would show of such cells.
    """
    if show_list:
        _list_recipes()
        return
    names = ", ".join(synthesis.RECIPES)
    if recipe is None:
        raise InputError(f"no recipe is given, expected one of {names}: name it with --recipe")
    if output is None:
        raise InputError("no folder is given: name one with -o")
    settings = read_settings(
        synthesis.SynthesisSettings, recipe=recipe, seed=seed, size=size, diameters=diameters
    )
    with progress_bar() as bar:
        task = bar.add_task("images", total=number)
        for event in synthesis.synthesize(settings, number, output):
            bar.update(task, completed=event.done)
    annotates = synthesis.RECIPES[recipe].annotates
    console.print(f"{number} images in {escape(str(output))}; their labels outline {annotates}")


def _list_recipes() -> None:
    table = Table("recipe", "group", "labels outline", "shows", box=box.SIMPLE)
    for name, each in synthesis.RECIPES.items():
        table.add_row(name, each.group, each.annotates, each.title)
    for column in table.columns:
        column.no_wrap, column.overflow = True, "fold"
    print_whole(table)
