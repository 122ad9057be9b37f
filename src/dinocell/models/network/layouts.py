"""Published layouts of DINO weights: Meta's ``.pth``, timm's and Hugging Face's ``.safetensors``.

They hold the same tensors under other names, some of them joined. Our own names are Hugging Face's.
"""

import re
from dataclasses import dataclass

Names = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Layout:
    """Names that a publisher gives to the weights of one kind of backbone.

    Attributes
    ----------
    publisher : str
    kind : str
        Of the backbone, see `dinocell.models.architecture.BackboneConfig`.
    mark : str
        A name that only this layout has.
    names : tuple of pairs
        Regular expressions that turn our names into theirs, in order.
    ignored : str
        Regular expression of what else may be in the file: buffers, and weights that only pretraining uses.
    """

    publisher: str
    kind: str
    mark: str
    names: Names = ()
    ignored: str = ""

    def published_name(self, ours: str) -> str:
        """Name of one of our tensors in this layout."""
        for pattern, replacement in self.names:
            ours = re.sub(pattern, replacement, ours)
        return ours


_VIT_NAMES: Names = (
    (r"^embeddings\.(cls|mask)_token", r"\1_token"),
    (r"^embeddings\.patch_embeddings", "patch_embed.proj"),
    (r"^layer\.", "blocks."),
    (r"attention\.o_proj", "attn.proj"),
)

# A SwiGLU has three matrices, so `gate_proj` comes with an `up_proj` of another name than in a plain MLP: the
# caller marks it as `gated_up_proj` and `gated_down_proj`.
LAYOUTS = (
    Layout(  # timm has the same names, without the mask token
        "Meta",
        "dinov2",
        "pos_embed",
        (
            (r"^encoder\.layer\.", "layer."),
            *_VIT_NAMES,
            (r"^embeddings\.position_embeddings", "pos_embed"),
            (r"patch_embed\.proj\.projection", "patch_embed.proj"),
            (r"attention\.[qkv]_proj", "attn.qkv"),
            (r"layer_scale(\d)\.lambda1", r"ls\1.gamma"),
            (r"^layernorm", "norm"),
        ),
    ),
    Layout("Hugging Face", "dinov2", "embeddings.position_embeddings"),
    Layout(
        "Meta",
        "vit",
        "blocks.0.ls1.gamma",
        (
            *_VIT_NAMES,
            (r"^embeddings\.register_tokens", "storage_tokens"),
            (r"attention\.[qkv]_proj", "attn.qkv"),
            (r"layer_scale(\d)\.lambda1", r"ls\1.gamma"),
            (r"mlp\.gate_proj", "mlp.w1"),
            (r"mlp\.gated_up_proj", "mlp.w2"),
            (r"mlp\.gated_down_proj", "mlp.w3"),
            (r"mlp\.up_proj", "mlp.fc1"),
            (r"mlp\.down_proj", "mlp.fc2"),
        ),
        r"rope_embed\.periods|blocks\.\d+\.attn\.qkv\.bias_mask|local_cls_norm\.\w+",
    ),
    Layout(
        "timm",
        "vit",
        "blocks.0.gamma_1",
        (
            *_VIT_NAMES,
            (r"^embeddings\.register_tokens", "reg_token"),
            (r"attention\.([qv])_proj\.bias", r"attn.\1_bias"),
            (r"attention\.[qkv]_proj", "attn.qkv"),
            (r"layer_scale(\d)\.lambda1", r"gamma_\1"),
            (r"mlp\.gate_proj", "mlp.fc1_g"),
            (r"mlp\.gated_up_proj", "mlp.fc1_x"),
            (r"mlp\.gated_down_proj", "mlp.fc2"),
            (r"mlp\.up_proj", "mlp.fc1"),
            (r"mlp\.down_proj", "mlp.fc2"),
        ),
    ),
    Layout(
        "Hugging Face",
        "vit",
        "embeddings.register_tokens",
        ((r"mlp\.gated_", "mlp."),),
        r"rope_embeddings\.\w+",
    ),
    Layout(
        "Meta",
        "convnext",
        "stages.0.0.dwconv.weight",
        (
            (r"^stages\.(\d+)\.downsample_layers", r"downsample_layers.\1"),
            (r"^stages\.(\d+)\.layers", r"stages.\1"),
            (r"depthwise_conv", "dwconv"),
            (r"pointwise_conv", "pwconv"),
            (r"layer_norm", "norm"),
        ),
        r"norms?\.(3\.)?(weight|bias)",
    ),
    Layout(
        "timm",
        "convnext",
        "stages.0.blocks.0.conv_dw.weight",
        (
            (r"^stages\.0\.downsample_layers", "stem"),
            (r"^stages\.(\d+)\.downsample_layers", r"stages.\1.downsample"),
            (r"^stages\.(\d+)\.layers", r"stages.\1.blocks"),
            (r"depthwise_conv", "conv_dw"),
            (r"pointwise_conv", "mlp.fc"),
            (r"layer_norm", "norm"),
        ),
        r"head\.norm\.(weight|bias)",
    ),
    Layout(
        "Hugging Face",
        "convnext",
        "stages.0.layers.0.depthwise_conv.weight",
        ignored=r"layer_norm\.(weight|bias)",
    ),
    Layout("DINOCell", "residual", "stages.0.1.first.0.0.weight"),
)
