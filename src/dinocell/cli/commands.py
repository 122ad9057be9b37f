"""The commands, and a group that imports the module of a command only when that command is used.

``dinocell --help`` needs nothing of them, so the lines that it prints are kept here, beside the names of the
modules. The modules take what needs PyTorch from its room (``inference.DINOCellPipeline``), which loads it
when it is used: the help of a command, and an error in its options, need not wait for it.
"""

import sys
from importlib import import_module
from typing import Any, cast

import typer
from typer.core import TyperCommand, TyperGroup

COMMANDS = {
    "segment": (
        "segment",
        "Segment images: writes STEM_labels.tif, STEM_overlay.png and STEM_cells.csv for each.",
    ),
    "segment-large": (
        "segment_large",
        "Segment an image of any size: writes labels with a pyramid as OME-Zarr, and a table of cells.",
    ),
    "measure": (
        "measure",
        "Measure the cells of a label image: writes STEM_cells.csv, of a stack with columns t and z.",
    ),
    "edit": (
        "edit",
        "Repeat edits made by hand on a label image: writes STEM_labels.tif with ids 1…N.",
    ),
    "serve": (
        "serve",
        "Open a page to segment, correct and measure in the browser; the same server is an HTTP API.",
    ),
    "info": ("info", "Print axes, pixel size, channels and scenes of image files; no pixel is read."),
    "import": (
        "import_cells",
        "Turn ROI sets and GeoJSON into label images, STEM_labels.tif; of overlapping cells the later wins.",
    ),
    "evaluate": (
        "evaluate",
        "Print SEG, DET, OP_CSB and AP beside their upper bound: what perfect distance maps reach.",
    ),
    "compare": (
        "compare",
        "Print and write SEG, DET, OP_CSB, AP, F1, PQ, MMA and times of tools on the same images.",
    ),
    "tune": (
        "tune",
        "Find target, diameter, thresholds, merge and channel for your images; no network is trained.",
    ),
    "train": ("train", "Train a model. Flags replace what the file says; `--set` replaces both."),
    "finetune": (
        "finetune",
        "Adapt a model to your images in minutes; cross-validation says whether it helps.",
    ),
    "pretrain": (
        "pretrain",
        "Pretrain a backbone on images without labels. Flags replace what the file says; `--set` replaces "
        "both.",
    ),
    "doctor": (
        "doctor",
        "Check the installation: versions, devices, memory, models, extras; then segment a drawn image.",
    ),
    "models": (
        "models",
        "List the models: which are trained, what their backbones are and where their weights come from.",
    ),
    "download": (
        "download",
        "Download the published backbone weights of a model, or check those in the cache.",
    ),
    "export": (
        "export",
        "Export a model: as ONNX (8-bit gray tiles in, distance maps out), or as a page for the browser.",
    ),
    "process": ("process", "Turn annotated images into a store to train or evaluate on."),
    "synthesize": (
        "synthesize",
        "Draw images of cells by rules, to train on: writes NAME_img.png and NAME_masks.png.",
    ),
}
"""For each command its module in this room, and the first paragraph of its help."""


class LazyGroup(TyperGroup):
    """Group that lists `COMMANDS` by their names and help alone, and imports the one that is used."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, (_, help_text) in COMMANDS.items():
            self.add_command(TyperCommand(name, help=help_text))

    def main(self, *arguments: Any, **settings: Any) -> Any:
        """Run the command line; errors in it are framed on a terminal only, where nobody searches them."""
        if not sys.stderr.isatty():
            self.rich_markup_mode = None
        return super().main(*arguments, **settings)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help, which is framed everywhere."""
        self.rich_markup_mode = "rich"
        super().format_help(ctx, formatter)

    def resolve_command(
        self, ctx: Any, args: list[str]
    ) -> tuple[str | None, TyperCommand | TyperGroup | None, list[str]]:
        """Return the name and the command that arguments begin with, and the arguments left."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, None if listed is None or name is None else load_command(name), rest


def load_command(name: str) -> TyperCommand | TyperGroup:
    """Import a command: the function `command` of its module, or the group of commands `app`."""
    module = import_module(f"dinocell.cli.{COMMANDS[name][0]}")
    if hasattr(module, "app"):
        app: typer.Typer = module.app
    else:
        app = typer.Typer(add_completion=False)
        app.command(name)(module.command)
    return cast(TyperCommand | TyperGroup, typer.main.get_command(app))
