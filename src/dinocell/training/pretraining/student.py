"""Student network, which learns, and teacher, its moving average."""

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from dinocell.models.network.backbone import Backbone
from dinocell.training.pretraining.config import Heads


class Encoder(nn.Module):
    """A backbone that describes views as a whole and patch by patch, see `Backbone.encode`.

    Attributes
    ----------
    width, dense_width : int
        Number of features of a view, and of a patch.
    patch : int
        Side of a patch in pixels.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.width, self.dense_width, self.patch = backbone.encoded

    def forward(self, x: Tensor, masks: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the features of views ``(B, width)`` and of their patches ``(B, N, dense_width)``."""
        return self.backbone.encode(x, masks)


class ProjectionHead(nn.Module):
    """Cosines between features, after three linear layers, and prototypes.

    References
    ----------
    Caron et al., Emerging properties in self-supervised vision transformers, 2021, appendix C.
    """

    def __init__(self, width: int, heads: Heads) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, heads.hidden),
            nn.GELU(),
            nn.Linear(heads.hidden, heads.hidden),
            nn.GELU(),
            nn.Linear(heads.hidden, heads.bottleneck),
        )
        self.prototypes = nn.Parameter(torch.randn(heads.prototypes, heads.bottleneck))
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(…, width)`` to logits ``(…, prototypes)`` in [−1, 1]."""
        points = functional.normalize(self.layers(x), dim=-1)
        return functional.linear(points, functional.normalize(self.prototypes, dim=-1))


class SelfDistillation(nn.Module):
    """Network that student and teacher both are: an encoder, and a head each for views and for patches."""

    def __init__(self, backbone: Backbone, heads: Heads) -> None:
        super().__init__()
        self.encoder = Encoder(backbone)
        self.view_head = ProjectionHead(self.encoder.width, heads)
        self.patch_head = ProjectionHead(self.encoder.dense_width, heads)


def copy_teacher(student: SelfDistillation) -> SelfDistillation:
    """Copy the student; nothing of the copy requires gradients."""
    return copy.deepcopy(student).requires_grad_(False).eval()


@torch.no_grad()
def update_teacher(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Move the teacher's weights towards the student's: ``momentum · teacher + (1 − momentum) · student``."""
    for old, new in zip(teacher.parameters(), student.parameters(), strict=True):
        old.lerp_(new, 1 - momentum)
    for kept, gathered in zip(teacher.buffers(), student.buffers(), strict=True):  # BatchNorm's statistics
        kept.lerp_(gathered, 1 - momentum) if kept.is_floating_point() else kept.copy_(gathered)


def momentum_at(step: int, *, total_steps: int, first: float) -> float:
    """Return the momentum of the moving average at a step: from `first` to 1 along a cosine.

    Examples
    --------
    >>> [round(momentum_at(step, total_steps=5, first=0.9), 4) for step in (0, 2, 4)]
    [0.9, 0.95, 1.0]
    """
    share = step / max(1, total_steps - 1)
    return 1 - (1 - first) * 0.5 * (1 + math.cos(math.pi * share))
