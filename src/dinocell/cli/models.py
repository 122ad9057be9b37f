"""`dinocell models`: lists the models."""

from rich import box
from rich.table import Table

from dinocell import models
from dinocell.cli.terminal import console, print_whole


def command() -> None:
    """List the models: which are trained, what their backbones are and where their weights come from."""
    designs = Table(
        "model", "backbone", "parameters", "decoder", "stride", "layers", "trained", box=box.SIMPLE
    )
    weights = Table("model", "licence", "backbone weights on Hugging Face", box=box.SIMPLE)
    for info in models.list_models():
        total = info.backbone_parameters + info.decoder_parameters
        designs.add_row(
            info.name,
            info.title,
            f"{total / 1e6:.1f} M",
            f"{info.decoder_parameters / 1e6:.1f} M",
            str(info.stride),
            ",".join(map(str, info.feature_blocks)),
            ", ".join(info.targets) or "no",
        )
        weights.add_row(info.name, info.licence, "\n".join(info.sources) or "none: it ships with the package")
    for column in (*designs.columns, *weights.columns):
        column.no_wrap, column.overflow = True, "fold"
    print_whole(designs, weights)
    console.print("timm's copies are open, Meta's ask you to sign in. See docs/models.md.")
