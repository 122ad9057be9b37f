"""Designs that have a name, which users type as ``model``."""

from dataclasses import dataclass, replace
from typing import Self

from dinocell.errors import InputError, UnknownModelError
from dinocell.models.architecture import (
    AnyBackboneConfig,
    ConvNeXtConfig,
    DecoderConfig,
    DINOv2Config,
    Four,
    ResidualConfig,
    TokenStride,
    ViTConfig,
)

DINOV3_LICENCE = "DINOv3 License"


@dataclass(frozen=True)
class Variant:
    """A design that has a name.

    Attributes
    ----------
    name : str
        Name that users type.
    title : str
        The backbone in words.
    backbone, decoder
        The architecture.
    licence : str
        Licence of the backbone's pretrained weights.
    sources : tuple of str
        Hugging Face ids of those weights, the ungated copy first; empty where there are none.
    """

    name: str
    title: str
    backbone: AnyBackboneConfig
    decoder: DecoderConfig
    licence: str
    sources: tuple[str, ...]

    def with_token_stride(self, token_stride: TokenStride | None) -> Self:
        """Return the design with tokens at another stride; None leaves it as it is.

        Raises
        ------
        InputError
            If its backbone is not a DINOv2.
        """
        if token_stride is None:
            return self
        if not isinstance(self.backbone, DINOv2Config):
            raise InputError(f"token_stride is for a DINOv2 backbone, but {self.name!r} has a {self.title}")
        return replace(self, backbone=self.backbone.model_copy(update={"token_stride": token_stride}))


def _vit(name: str, title: str, ids: tuple[str, str], backbone: ViTConfig) -> Variant:
    """Describe a ViT; `ids` are timm's model name and Meta's model name."""
    return Variant(
        name=name,
        title=f"DINOv3 ViT-{title}/16",
        backbone=backbone,
        decoder=DecoderConfig(),
        licence=DINOV3_LICENCE,
        sources=(f"timm/vit_{ids[0]}.lvd1689m", f"facebook/dinov3-vit{ids[1]}-pretrain-lvd1689m"),
    )


def _convnext(size: str, widths: Four, depths: Four) -> Variant:
    return Variant(
        name=f"convnext-{size}",
        title=f"DINOv3 ConvNeXt-{size}",
        backbone=ConvNeXtConfig(widths=widths, depths=depths),
        decoder=DecoderConfig(),
        licence=DINOV3_LICENCE,
        sources=(
            f"timm/convnext_{size}.dinov3_lvd1689m",
            f"facebook/dinov3-convnext-{size}-pretrain-lvd1689m",
        ),
    )


_NANO = Variant(
    name="nano",
    title="residual network",
    backbone=ResidualConfig(stem_width=32, widths=(64, 96, 160, 256), depths=(2, 2, 2, 2)),
    decoder=DecoderConfig(widths=(16, 32, 64, 96, 160, 256)),
    licence="MIT",
    sources=(),
)

_DINOV2_SMALL = Variant(
    name="dinov2-small",
    title="DINOv2 ViT-S/14",
    backbone=DINOv2Config(hidden_size=384, depth=12, heads=6, feature_blocks=(2, 5, 8, 11), token_stride=8),
    decoder=DecoderConfig(),
    licence="Apache-2.0",
    sources=("facebook/dinov2-small", "timm/vit_small_patch14_dinov2.lvd142m"),
)

_SMALL = ViTConfig(hidden_size=384, depth=12, heads=6, intermediate_size=1536, feature_blocks=(2, 5, 8, 11))
_BASE = ViTConfig(hidden_size=768, depth=12, heads=12, intermediate_size=3072, feature_blocks=(2, 5, 8, 11))
_LARGE = ViTConfig(
    hidden_size=1024, depth=24, heads=16, intermediate_size=4096, feature_blocks=(4, 11, 17, 23)
)
_HUGE_PLUS = ViTConfig(
    hidden_size=1280,
    depth=32,
    heads=20,
    intermediate_size=5120,
    gated_mlp=True,
    feature_blocks=(7, 15, 23, 31),
)
_7B = ViTConfig(
    hidden_size=4096,
    depth=40,
    heads=32,
    intermediate_size=8192,
    gated_mlp=True,
    attention_bias=False,
    feature_blocks=(9, 19, 29, 39),
)

VARIANTS: dict[str, Variant] = {
    variant.name: variant
    for variant in (
        _NANO,
        _DINOV2_SMALL,
        _vit("small", "S", ("small_patch16_dinov3_qkvb", "s16"), _SMALL),
        _vit(
            "small-plus",
            "S+",
            ("small_plus_patch16_dinov3_qkvb", "s16plus"),
            _SMALL.model_copy(update={"gated_mlp": True}),
        ),
        _vit("base", "B", ("base_patch16_dinov3_qkvb", "b16"), _BASE),
        _vit("large", "L", ("large_patch16_dinov3_qkvb", "l16"), _LARGE),
        _vit("huge-plus", "H+", ("huge_plus_patch16_dinov3_qkvb", "h16plus"), _HUGE_PLUS),
        _vit("7b", "7B", ("7b_patch16_dinov3", "7b16"), _7B),
        _convnext("tiny", (96, 192, 384, 768), (3, 3, 9, 3)),
        _convnext("small", (96, 192, 384, 768), (3, 3, 27, 3)),
        _convnext("base", (128, 256, 512, 1024), (3, 3, 27, 3)),
        _convnext("large", (192, 384, 768, 1536), (3, 3, 27, 3)),
    )
}


def find_variant(name: str) -> Variant:
    """Find a variant by its name.

    Raises
    ------
    UnknownModelError
        If there is none.
    """
    if name not in VARIANTS:
        raise UnknownModelError(
            f"no variant is called {name!r}. Known: {', '.join(VARIANTS)} (see `dinocell models`)"
        )
    return VARIANTS[name]
