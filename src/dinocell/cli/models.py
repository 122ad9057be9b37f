"""`dinocell models`: what there is."""

from rich.console import Console
from rich.table import Table


def command() -> None:
    """List the models: which are trained, and what their backbones are and where their weights come from."""
    from dinocell.model import list_models

    table = Table(
        "model",
        "backbone",
        "parameters",
        "of them decoder",
        "stride",
        "taps",
        "trained",
        "licence",
        "weights",
    )
    for info in list_models():
        total = info.backbone_parameters + info.decoder_parameters
        table.add_row(
            info.name,
            info.title,
            f"{total / 1e6:.1f} M",
            f"{info.decoder_parameters / 1e6:.1f} M",
            str(info.stride),
            ", ".join(map(str, info.taps)),
            "yes" if info.trained else "no",
            info.licence,
            "\n".join(info.sources) or "ships with the package",
        )
    console = Console(width=None if Console().is_terminal else 200)
    console.print(table)
    console.print(
        "Weights are Hugging Face ids of the backbone alone: timm's copy is open, Meta's asks you to sign "
        "in. The decoder must be trained before a model can segment (dinocell train)."
    )
