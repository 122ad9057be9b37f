"""`dinocell models`: what there is."""

from rich.console import Console
from rich.table import Table


def command() -> None:
    """List the models: counted parameters, stride, and which are trained and ready to segment."""
    from dinocell.model import list_models

    table = Table(
        "model", "backbone", "parameters", "of them decoder", "stride", "trained", "licence", "weights"
    )
    for info in list_models():
        total = info.backbone_parameters + info.decoder_parameters
        table.add_row(
            info.name,
            info.title,
            f"{total / 1e6:.1f} M",
            f"{info.decoder_parameters / 1e6:.1f} M",
            str(info.stride),
            "yes" if info.trained else "no",
            info.licence,
            info.source,
        )
    Console(width=None if Console().is_terminal else 180).print(table)
