"""The variants by name, and where their weights come from."""

from dataclasses import dataclass

from dinocell.backbone import ConvNeXtConfig, Four, ResidualConfig, ViTConfig
from dinocell.decoder import DecoderConfig


@dataclass(frozen=True)
class Variant:
    """A design that has a name.

    Attributes
    ----------
    name : str
        What users type.
    title : str
        The backbone in words.
    backbone, decoder
        The architecture.
    licence : str
        Licence of the backbone's pretrained weights.
    source : str
        Where those weights come from.
    """

    name: str
    title: str
    backbone: ViTConfig | ConvNeXtConfig | ResidualConfig
    decoder: DecoderConfig
    licence: str
    source: str


def _vit(name: str, letter: str, hidden: int, depth: int, heads: int, taps: Four) -> Variant:
    return Variant(
        name=name,
        title=f"DINOv3 ViT-{letter.upper()}/16",
        backbone=ViTConfig(
            hidden_size=hidden, depth=depth, heads=heads, intermediate_size=4 * hidden, taps=taps
        ),
        decoder=DecoderConfig(),
        licence="DINOv3 License",
        source=f"facebook/dinov3-vit{letter}16-pretrain-lvd1689m",
    )


def _convnext(size: str, widths: Four, depths: Four) -> Variant:
    return Variant(
        name=f"convnext-{size}",
        title=f"DINOv3 ConvNeXt-{size}",
        backbone=ConvNeXtConfig(widths=widths, depths=depths),
        decoder=DecoderConfig(),
        licence="DINOv3 License",
        source=f"facebook/dinov3-convnext-{size}-pretrain-lvd1689m",
    )


_NANO = Variant(
    name="nano",
    title="residual network with GroupNorm",
    backbone=ResidualConfig(stem_width=32, widths=(64, 96, 160, 256), depths=(2, 2, 2, 2)),
    decoder=DecoderConfig(widths=(16, 32, 64, 96, 160, 256)),
    licence="MIT",
    source="ships with the package",
)

VARIANTS: dict[str, Variant] = {
    variant.name: variant
    for variant in (
        _NANO,
        _vit("small", "s", 384, 12, 6, (2, 5, 8, 11)),
        _vit("base", "b", 768, 12, 12, (2, 5, 8, 11)),
        _vit("large", "l", 1024, 24, 16, (4, 11, 17, 23)),
        _convnext("tiny", (96, 192, 384, 768), (3, 3, 9, 3)),
        _convnext("small", (96, 192, 384, 768), (3, 3, 27, 3)),
        _convnext("base", (128, 256, 512, 1024), (3, 3, 27, 3)),
        _convnext("large", (192, 384, 768, 1536), (3, 3, 27, 3)),
    )
}
