"""Settings of a set of images that are drawn by rules."""

from typing import Annotated

from pydantic import AfterValidator, Field

from dinocell.settings import Range, Section
from dinocell.synthesis.recipes import DIAMETERS, RECIPES


def _check_recipe(name: str) -> str:
    if name not in RECIPES:
        raise ValueError(f"expected one of {', '.join(RECIPES)}, not {name!r:.80}")
    return name


def _check_diameters(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] < DIAMETERS[0] or bounds[1] > DIAMETERS[1]:
        raise ValueError(f"expected {DIAMETERS[0]:g} to {DIAMETERS[1]:g} pixels, not {bounds}")
    return bounds


class SynthesisSettings(Section):
    """Kind, size and seed of a set; the same settings and number of an image give the same image."""

    recipe: Annotated[str, AfterValidator(_check_recipe)] = Field(description="Name of a recipe")
    seed: int = Field(default=0, ge=0, lt=2**63, description="Seed of the set")
    size: int = Field(default=320, ge=64, le=2048, description="Side of an image in pixels")
    diameters: Annotated[Range, AfterValidator(_check_diameters)] = Field(
        default=DIAMETERS,
        description="Smallest and largest median diameter of the cells of an image, in pixels",
    )
