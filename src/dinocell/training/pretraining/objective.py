"""Objective of a step: student against teacher on views and on patches, and features spread out."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dinocell.models.network.dinocell import normalise
from dinocell.training.pretraining.config import PretrainConfig
from dinocell.training.pretraining.losses import dino_loss, ibot_loss, koleo_loss, sinkhorn_knopp
from dinocell.training.pretraining.student import SelfDistillation
from dinocell.training.pretraining.views import ViewBatch


@dataclass(frozen=True)
class Losses:
    """Losses of a batch.

    Attributes
    ----------
    total, dino, ibot, koleo : float32 tensor, shape ()
        The weighted sum, and its parts before they are weighted.
    """

    total: Tensor
    dino: Tensor
    ibot: Tensor
    koleo: Tensor


def temperature_at(step: int, config: PretrainConfig) -> float:
    """Return the temperature of the teacher's targets at a step: linear from the first one to the last."""
    teacher = config.teacher
    warmup = min(teacher.warmup_steps, config.total_steps // 2)
    share = min(1.0, step / warmup) if warmup else 1.0
    return teacher.first_temperature + share * (teacher.temperature - teacher.first_temperature)


def batch_losses(
    student: SelfDistillation,
    teacher: SelfDistillation,
    batch: ViewBatch,
    config: PretrainConfig,
    *,
    temperature: float,
) -> Losses:
    """Compare student and teacher on a batch.

    ::

                    large views          small views
        teacher     all patches shown    not seen
        student     some hidden          all shown

        DINO    teacher's large view  ──▶  student's every other view, large and small (view head)
        iBOT    teacher's patch       ──▶  the same patch where it is hidden from the student (patch head)
        KoLeo   student's large views, each kind alone: features of different fields apart

    Parameters
    ----------
    student, teacher : SelfDistillation
        On one device.
    batch : ViewBatch
    config : PretrainConfig
    temperature : float
        Temperature of the teacher's targets.

    Returns
    -------
    Losses
        Only those of the student have gradients.
    """
    device = next(student.parameters()).device
    large, small, masks = (part.to(device, non_blocking=True).transpose(0, 1) for part in batch)
    count, size = large.shape[:2]
    masks = masks.flatten(0, 1)
    x = _network_input(large)
    with torch.autocast(device.type, torch.bfloat16, enabled=uses_bfloat16(config, device)):
        with torch.no_grad():
            seen_whole, seen_patches = teacher.encoder(x)
            view_logits = teacher.view_head(seen_whole)
            patch_logits = teacher.patch_head(seen_patches[masks])
        whole, hidden = student.encoder(x, masks)
        views = [whole]
        if small.shape[0]:
            views.append(student.encoder(_network_input(small))[0])
        student_views = student.view_head(torch.cat(views)).unflatten(0, (-1, size))
        student_patches = student.patch_head(hidden[masks])
    iterations, sharpness = config.teacher.sinkhorn_iterations, config.loss.temperature
    targets = sinkhorn_knopp(view_logits, temperature=temperature, iterations=iterations)
    dino = dino_loss(student_views, targets.unflatten(0, (count, size)), temperature=sharpness)
    ibot = torch.zeros((), device=device)
    if masks.any():
        targets = sinkhorn_knopp(patch_logits, temperature=temperature, iterations=iterations)
        ibot = ibot_loss(student_patches, targets, masks, temperature=sharpness)
    koleo = torch.stack([koleo_loss(view) for view in whole.unflatten(0, (count, size))]).mean()
    total = config.loss.dino * dino + config.loss.ibot * ibot + config.loss.koleo * koleo
    return Losses(total, dino.detach(), ibot.detach(), koleo.detach())


@torch.no_grad()
def describe_views(network: SelfDistillation, large: Tensor, config: PretrainConfig) -> tuple[Tensor, Tensor]:
    """Compute the features and logits of large views.

    Parameters
    ----------
    network : SelfDistillation
    large : uint8 tensor, shape (B, G, S, S)
    config : PretrainConfig

    Returns
    -------
    features : float32 tensor, shape (B · G, width)
    logits : float32 tensor, shape (B · G, prototypes)
        Both on the CPU.
    """
    device = next(network.parameters()).device
    x = _network_input(large.to(device))
    with torch.autocast(device.type, torch.bfloat16, enabled=uses_bfloat16(config, device)):
        features = network.encoder(x)[0]
        logits = network.view_head(features)
    return features.float().cpu(), logits.float().cpu()


def uses_bfloat16(config: PretrainConfig, device: torch.device) -> bool:
    """Return whether the networks compute in 16 bits, which most CPUs do several times slower."""
    return config.precision == "bfloat16" or (config.precision == "auto" and device.type == "cuda")


def _network_input(views: Tensor) -> Tensor:
    """Normalise uint8 ``(V, B, S, S)`` into ``(V · B, 3, S, S)``."""
    return normalise(views.flatten(0, 1)).contiguous(memory_format=torch.channels_last)
