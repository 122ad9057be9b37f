"""Student network, which learns, and teacher, its moving average."""

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from dinocell.models.network.backbone import ConvNeXtBackbone, ResidualBackbone, ViTBackbone
from dinocell.training.pretraining.config import Heads

AnyBackbone = ViTBackbone | ConvNeXtBackbone | ResidualBackbone


class ViTEncoder(nn.Module):
    """Class token and patch tokens of a ViT; hidden patches become its mask token.

    Attributes
    ----------
    width, dense_width : int
        Number of features of a view, and of a patch.
    patch : int
        Side of a patch in pixels.
    """

    def __init__(self, backbone: ViTBackbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.width = self.dense_width = backbone.out_channels[-1]
        self.patch = backbone.stride

    def forward(self, x: Tensor, masks: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Describe views as a whole and patch by patch.

        Parameters
        ----------
        x : float tensor, shape (B, 3, H, W)
        masks : bool tensor, shape (B, N), optional
            Which of the N = H/patch · W/patch patches, row by row, are hidden.

        Returns
        -------
        whole : float tensor, shape (B, width)
        patches : float tensor, shape (B, N, dense_width)
        """
        vit = self.backbone.vit
        tokens = vit.embeddings(x, bool_masked_pos=masks)
        positions = vit.rope_embeddings(x)
        for block in self.backbone.blocks:
            tokens = block(tokens, position_embeddings=positions)
        tokens = vit.norm(tokens)
        return tokens[:, 0], tokens[:, 1 + vit.config.num_register_tokens :]


class ConvEncoder(nn.Module):
    """Mean of the last map and positions of the one before it; hidden patches become the mean colour.

    That map has stride 16, as a ViT has. Neither has a norm at its end, so one without weights follows.
    """

    def __init__(self, backbone: ConvNeXtBackbone | ResidualBackbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.width, self.dense_width = backbone.out_channels[3], backbone.out_channels[2]
        self.patch = backbone.strides[2]

    def forward(self, x: Tensor, masks: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Describe views as a whole and position by position, as `ViTEncoder` does."""
        if masks is not None:
            grid = masks.view(-1, 1, x.shape[2] // self.patch, x.shape[3] // self.patch)
            hidden = grid.repeat_interleave(self.patch, 2).repeat_interleave(self.patch, 3)
            x = x.masked_fill(hidden, 0)  # the mean of normalised colours
        maps = self.backbone(x)
        whole, patches = maps[3].mean(dim=(2, 3)), maps[2].flatten(2).transpose(1, 2)
        return (
            functional.layer_norm(whole, (self.width,)),
            functional.layer_norm(patches, (self.dense_width,)),
        )


def build_encoder(backbone: AnyBackbone) -> ViTEncoder | ConvEncoder:
    """Wrap a backbone of any kind."""
    if isinstance(backbone, ViTBackbone):
        return ViTEncoder(backbone)
    return ConvEncoder(backbone)


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

    def __init__(self, backbone: AnyBackbone, heads: Heads) -> None:
        super().__init__()
        self.encoder = build_encoder(backbone)
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


def momentum_at(step: int, *, total_steps: int, first: float) -> float:
    """Return the momentum of the moving average at a step: from `first` to 1 along a cosine.

    Examples
    --------
    >>> [round(momentum_at(step, total_steps=5, first=0.9), 4) for step in (0, 2, 4)]
    [0.9, 0.95, 1.0]
    """
    share = step / max(1, total_steps - 1)
    return 1 - (1 - first) * 0.5 * (1 + math.cos(math.pi * share))
