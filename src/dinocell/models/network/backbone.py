"""Contract of all backbones: an image becomes four feature maps with declared channels and strides.

A backbone is one module of this folder, built from its configuration in `dinocell.models.architecture`. The
decoder and the rest of the package know it by this contract alone.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from dinocell.models.architecture import Four


class Backbone(nn.Module, ABC):
    """Base class of backbones; the defaults are those of a convolutional network with four stages.

    Attributes
    ----------
    out_channels, strides : four int
        Channels and stride of each feature map, from the finest to the coarsest.
    stride : int
        Height and width of the input must be multiples of it.
    feature_blocks : four int
        Blocks, counted from 0, whose outputs are the feature maps.
    attends : bool
        Whether a pixel of a feature map depends on the whole input, as with attention.
    inner : str
        Attribute that holds Hugging Face's network; empty where none is published.
    rope_periods : int or None
        Number of periods of its rotary positions, where it has some.
    """

    out_channels: Four
    strides: Four
    stride: int
    feature_blocks: Four = (0, 1, 2, 3)
    attends: bool = False
    inner: str = ""
    rope_periods: int | None = None

    @property
    @abstractmethod
    def blocks(self) -> Sequence[nn.Module]:
        """Parts that can be unfrozen one after another, from first to last: blocks of a ViT, or stages."""

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map ``(B, 3, H, W)`` to four feature maps ``(B, C_i, H / s_i, W / s_i)``."""

    @property
    def encoded(self) -> tuple[int, int, int]:
        """Width of the code of a view, width of the code of a patch, and side of a patch in pixels."""
        return self.out_channels[3], self.out_channels[2], self.strides[2]

    def encode(self, x: Tensor, masks: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Describe images as a whole and patch by patch, for pretraining.

        Here: the mean of the last map, and the positions of the one before it; hidden patches become the mean
        colour. That map has stride 16, as a ViT has. Neither has a norm at its end, so one without weights
        follows.

        Parameters
        ----------
        x : float tensor, shape (B, 3, H, W)
        masks : bool tensor, shape (B, N), optional
            Marks of the N = H/patch · W/patch patches, row by row, that are hidden.

        Returns
        -------
        whole : float tensor, shape (B, width)
        patches : float tensor, shape (B, N, patch width)
        """
        width, patch_width, patch = self.encoded
        if masks is not None:
            grid = masks.view(-1, 1, x.shape[2] // patch, x.shape[3] // patch)
            hidden = grid.repeat_interleave(patch, 2).repeat_interleave(patch, 3)
            x = x.masked_fill(hidden, 0)  # of normalised colours
        maps = self(x)
        whole, patches = maps[3].mean(dim=(2, 3)), maps[2].flatten(2).transpose(1, 2)
        return functional.layer_norm(whole, (width,)), functional.layer_norm(patches, (patch_width,))

    def published_names(self) -> dict[str, str]:
        """Return the names of all weights in a published file, each with its name here."""
        return {published_name(key).removeprefix(f"{self.inner}."): key for key in self.state_dict()}


def published_name(key: str) -> str:
    """Return the name of a weight in files: Hugging Face's, whichever version of `transformers` runs.

    Examples
    --------
    >>> published_name("backbone.vit.model.layer.0.norm1.bias")
    'backbone.vit.layer.0.norm1.bias'
    >>> published_name("dinov2.encoder.layer.0.attention.attention.query.bias")
    'dinov2.encoder.layer.0.attention.q_proj.bias'
    """
    key = re.sub(r"\b(vit|convnext)\.model\.(layer|stages)\.", r"\1.\2.", key)
    key = re.sub(r"\battention\.attention\.([qkv])(?:uery|ey|alue)\.", r"attention.\1_proj.", key)
    return re.sub(r"\battention\.output\.dense\.", "attention.o_proj.", key)
