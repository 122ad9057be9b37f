"""Progress of a large image: its stages, and how many of their blocks are done."""

from dataclasses import dataclass

TITLES = {
    "copy": "copy", "field": "margins", "statistics/1": "intensities", "sizes": "sizes", "overview": "target",
    "map": "distance map", "components": "components", "flood": "cells", "growth": "seams",
    "numbers": "numbers", "described": "table",
}  # fmt: skip
"""Stages in words; others are called as they are."""


@dataclass(frozen=True)
class StageDone:
    """Progress of a stage, in blocks."""

    stage: str
    done: int
    total: int

    @property
    def title(self) -> str:
        """The stage in words."""
        return TITLES.get(self.stage, self.stage.replace("/", " "))
