"""A network of two targets that needs no training: what is bright are cells, what is dark are nuclei."""

import torch
from torch import Tensor

from dinocell.labels import TARGETS
from dinocell.models.architecture import DecoderConfig, ResidualConfig
from dinocell.models.configuration import ModelConfig, TargetSettings
from dinocell.models.network.dinocell import IMAGENET_MEAN, IMAGENET_STD, DINOCell
from dinocell.postprocess.thresholds import Thresholds
from dinocell.preprocess.preprocessing import Preprocessing
from dinocell.settings import Range

LOOSE = Thresholds(cells_max_threshold=0.6, cell_fill_threshold=0.4)
"""Thresholds of the nuclei; those of the cells are the defaults."""


class BrightAndDark(DINOCell):
    """Network whose map of cells is the image, and whose map of nuclei is its negative."""

    def forward(self, x: Tensor) -> Tensor:
        gray = (x[:, :1] * IMAGENET_STD[0] + IMAGENET_MEAN[0]).clamp(1e-4, 1 - 1e-4)
        return torch.logit(torch.cat((gray, 1 - gray), dim=1))


def bright_and_dark(*, diameter_range: Range | None = None) -> BrightAndDark:
    """Return the network; it passes for trained."""
    cells, nuclei = TARGETS
    targets = {
        cells: TargetSettings(diameter_range=diameter_range),
        nuclei: TargetSettings(diameter_range=diameter_range, thresholds=LOOSE),
    }
    backbone = ResidualConfig(stem_width=8, widths=(8, 8, 8, 8), depths=(1, 1, 1, 1))
    config = ModelConfig(
        variant="two",
        backbone=backbone,
        decoder=DecoderConfig(widths=(8, 8, 8, 8, 8, 8)),
        trained=True,
        preprocessing=Preprocessing(clahe=False),
        targets=targets,
    )
    return BrightAndDark(config)
