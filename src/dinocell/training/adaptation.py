"""Choice of what a backbone learns: nothing, its last blocks, all of it, or low-rank adapters."""

import copy
from collections.abc import Iterator
from typing import Any, Literal

from torch import nn

from dinocell.errors import ConfigError
from dinocell.extras import import_extra
from dinocell.models.network.dinocell import DINOCell
from dinocell.training.config import BackboneTraining

Mode = Literal["frozen", "full", "lora"]

ALPHA_PER_RANK = 2
"""LoRA's alpha divided by the rank, the factor on what adapters add; 2 is common practice."""


def adapt(model: DINOCell, settings: BackboneTraining) -> Mode:
    """Choose what of a model's backbone learns; all of its decoder does.

    Adapters (LoRA: Hu et al., 2021) go beside every linear layer of the backbone and begin as zero, so that
    the model predicts as before.

    Parameters
    ----------
    model : DINOCell
        Changed in place.
    settings : BackboneTraining

    Returns
    -------
    {"frozen", "full", "lora"}
        The mode asked for; else frozen where the backbone began with published weights, and full where not.

    Raises
    ------
    ConfigError
        If the settings do not fit each other or the backbone; the model is as it was.
    MissingExtraError
        If adapters are asked for and peft is not installed.
    """
    published = model.config.backbone_weights is not None
    mode: Mode = settings.mode or ("frozen" if published else "full")
    _check_unfreezing(model, settings, mode)
    _check_layer_decay(settings, mode)
    if mode == "lora":
        _add_adapters(model, settings.lora_rank)
    elif mode == "frozen":
        model.freeze_backbone(except_last=settings.unfreeze_last)
    for name, parameter in model.backbone.named_parameters():
        # No map depends on the mask token, and several devices would wait for its gradient.
        if name.endswith("mask_token"):
            parameter.requires_grad_(False)
    return mode


def _check_unfreezing(model: DINOCell, settings: BackboneTraining, mode: Mode) -> None:
    blocks = len(model.backbone.blocks)
    if settings.unfreeze_last and mode != "frozen":
        raise ConfigError("unfreeze_last is for a frozen backbone: set backbone.mode to frozen")
    if settings.unfreeze_last > blocks:
        raise ConfigError(
            f"backbone.unfreeze_last is {settings.unfreeze_last}, expected at most {blocks}, all there are"
        )


def _check_layer_decay(settings: BackboneTraining, mode: Mode) -> None:
    if settings.layer_decay == 1 or mode == "full" or (mode == "frozen" and settings.unfreeze_last):
        return
    why, remedy = "nothing of a frozen backbone learns", "give backbone.unfreeze_last, "
    if mode == "lora":
        why, remedy = "adapters all learn at one rate", ""
    raise ConfigError(
        f"backbone.layer_decay is {settings.layer_decay}, but {why}: leave it out, {remedy}"
        "or set backbone.mode to full"
    )


def _add_adapters(model: DINOCell, rank: int) -> None:
    """Freeze the backbone and put an adapter beside each of its linear layers."""
    linear = [name for name, part in model.backbone.named_modules() if isinstance(part, nn.Linear)]
    if not linear:
        raise ConfigError(
            f"backbone.mode is lora, but the backbone of {model.config.variant!r} has convolutions alone, "
            "and adapters go beside linear layers: set backbone.mode to full, or to frozen with unfreeze_last"
        )
    # It takes seconds to import: only when used.
    peft = import_extra("peft", extra="train", purpose="backbone.mode lora")
    model.freeze_backbone()
    config = peft.LoraConfig(r=rank, lora_alpha=ALPHA_PER_RANK * rank, target_modules=linear)
    peft.inject_adapter_in_model(config, model.backbone)
    model.train(model.training)


def merged(model: DINOCell) -> DINOCell:
    """Add adapters to the weights that they stand beside.

    Parameters
    ----------
    model : DINOCell
        Not changed.

    Returns
    -------
    DINOCell
        A plain model, to be saved and loaded without peft, that predicts the same but for rounding. It shares
        the frozen weights that have no adapter. A model without adapters is returned as it is.
    """
    if not any(".lora_A." in name for name, _ in model.named_parameters()):
        return model
    from peft.tuners.tuners_utils import BaseTunerLayer

    frozen = {id(weight): weight for weight in model.parameters() if not weight.requires_grad}
    for part in model.modules():
        if isinstance(part, BaseTunerLayer):
            frozen.pop(id(part.get_base_layer().weight), None)
    plain = copy.deepcopy(model, frozen)  # weights in the memo are shared, not copied
    for name, part in list(plain.named_modules()):
        if isinstance(part, BaseTunerLayer):
            part.merge()
            plain.set_submodule(name, part.get_base_layer())
    del plain.backbone.peft_config
    return plain


def parameter_groups(
    model: DINOCell, settings: BackboneTraining, learning_rate: float
) -> list[dict[str, Any]]:
    """Sort all weights that learn by their share of the learning rate.

    The share is 1 for the decoder, the backbone's last block and its final norm. From each block to the one
    before it, it is multiplied by `layer_decay`, and once more for what comes before the first block
    (layer-wise decay: Clark et al., 2020; Bao et al., 2021).

    Parameters
    ----------
    model : DINOCell
        After `adapt`.
    settings : BackboneTraining
    learning_rate : float
        Highest rate of the decoder.

    Returns
    -------
    list of dict
        One for each share: ``params``, ``lr``, and ``lr_scale``, the share; an optimiser keeps all of them.
    """
    groups: dict[float, list[nn.Parameter]] = {}
    for scale, parameter in _scaled(model, settings.layer_decay):
        if parameter.requires_grad:
            groups.setdefault(scale, []).append(parameter)
    return [
        {"params": parameters, "lr": learning_rate * scale, "lr_scale": scale}
        for scale, parameters in groups.items()
    ]


def _scaled(model: DINOCell, decay: float) -> Iterator[tuple[float, nn.Parameter]]:
    for parameter in model.decoder.parameters():
        yield 1.0, parameter
    blocks = model.backbone.blocks
    # With 3 blocks: embeddings decay³, block 1 decay², block 2 decay, block 3 and the final norm 1.
    steps = {
        id(parameter): step for step, block in enumerate(reversed(blocks)) for parameter in block.parameters()
    }
    for name, parameter in model.backbone.named_parameters():
        # The final norm, where it is in none of the blocks.
        is_norm = name.split(".")[-2:-1] in (["norm"], ["layernorm"])
        yield decay ** steps.get(id(parameter), 0 if is_norm else len(blocks)), parameter
