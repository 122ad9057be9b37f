"""`dinocell download`: backbone weights into the cache, for machines that will have no network."""

from typing import Annotated

import typer

from dinocell import models
from dinocell.errors import InputError


def command(
    model: Annotated[str, typer.Argument(help="A variant that `dinocell models` lists.")],
    source: Annotated[
        str | None, typer.Option(help="Hugging Face id to take instead of the variant's open copy.")
    ] = None,
) -> None:
    """Download the published backbone weights of a model, or check those in the cache."""
    variant = models.find_variant(model)
    if not variant.sources:
        raise InputError(f"model {model!r} ships with the package: there is nothing to download")
    if source is not None and not models.is_hub_id(source):
        raise InputError(f"--source is {source!r}, expected a Hugging Face id such as {variant.sources[0]}")
    for file, digest in models.fetch_weights(variant, source or models.PRETRAINED).items():
        typer.echo(f"{file}: {file.stat().st_size / 1e6:.1f} MB, SHA-256 {digest}")
