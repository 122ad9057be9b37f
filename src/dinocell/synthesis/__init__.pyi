from .drawing import draw
from .folder import ImageWritten, synthesize
from .recipes import RECIPES, Recipe
from .settings import SynthesisSettings

__all__ = [
    "RECIPES",
    "ImageWritten",
    "Recipe",
    "SynthesisSettings",
    "draw",
    "synthesize",
]
