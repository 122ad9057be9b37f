"""Changes of what a batch of crops looks like: style, intensities, blur, noise."""

import math

import torch
from torch import Tensor, nn


def mix_sums(colours: Tensor, weights: Tensor, density: Tensor) -> Tensor:
    """Compute weighted sums of colours, as `GrayMix.sums` does.

    Parameters
    ----------
    colours : float32 tensor, shape (B, …, 3)
        In [0, 255].
    weights : float32 tensor, shape (B, …, 3)
    density : bool tensor, shape (B, …)
        Whether optical densities are summed.

    Returns
    -------
    float32 tensor, shape (B, …)
    """
    plain = (colours * weights).sum(dim=-1)
    absorbed = (-torch.log((colours + 1) / 256) * weights).sum(dim=-1)
    return torch.where(density, torch.exp(-absorbed) * 255, plain)


def exchange_histograms(images: Tensor, others: Tensor, shares: Tensor) -> Tensor:
    """Move gray values towards those of equal rank in other images, as `exchange_histogram` does.

    Parameters
    ----------
    images, others : uint8 tensor, shape (B, Y, X)
    shares : float tensor, shape (B,)

    Returns
    -------
    uint8 tensor, shape (B, Y, X)
    """
    pixels = images[0].numel()
    counts = _histograms(images)
    ranks = (counts.cumsum(1) - counts / 2) / pixels
    reached = _histograms(others).cumsum(1) / pixels
    wanted = torch.searchsorted(reached, ranks).clamp(max=255)
    values = torch.arange(256, device=images.device)
    tables = values + shares[:, None] * (wanted - values)
    return torch.gather(tables.round().to(torch.uint8), 1, images.flatten(1).long()).view(images.shape)


def _histograms(images: Tensor) -> Tensor:
    values = images.flatten(1).long()
    counts = torch.zeros(len(values), 256, dtype=torch.int32, device=images.device)
    counts.scatter_add_(1, values, torch.ones((), dtype=torch.int32, device=images.device).expand_as(values))
    return counts.double()


def exchange_low_frequencies(images: Tensor, others: Tensor, shares: Tensor, highest: Tensor) -> Tensor:
    """Move the amplitudes of low frequencies towards those of other images, as `exchange_amplitudes` does.

    Parameters
    ----------
    images, others : uint8 tensor, shape (B, Y, X)
    shares, highest : float tensor, shape (B,)

    Returns
    -------
    uint8 tensor, shape (B, Y, X)
    """
    height, width = images.shape[1:]
    spectrum, style = torch.fft.rfft2(images.float()), torch.fft.rfft2(others.float())
    rows = torch.fft.fftfreq(height, device=images.device).abs()
    columns = torch.fft.rfftfreq(width, device=images.device)
    low = torch.maximum(rows[:, None], columns) <= highest[:, None, None]
    amplitudes = spectrum.abs()
    wanted = torch.lerp(amplitudes, style.abs(), shares[:, None, None])
    factors = torch.where(amplitudes > 0, wanted / amplitudes.clamp(min=1e-12), 0)
    changed: Tensor = torch.fft.irfft2(spectrum * torch.where(low, factors, 1), s=(height, width))
    return changed.round().clamp(0, 255).to(torch.uint8)


def change_intensities(
    values: Tensor, *, invert: Tensor, gamma: Tensor, contrast: Tensor, brightness: Tensor
) -> Tensor:
    """Invert, and change gamma, contrast and brightness, in this order.

    Parameters
    ----------
    values : float32 tensor, shape (B, Y, X)
        In [0, 1].
    invert, gamma, contrast, brightness : tensor, shape (B, 1, 1)

    Returns
    -------
    float32 tensor, shape (B, Y, X)
    """
    values = torch.where(invert, 1 - values, values) ** gamma
    means = values.mean(dim=(1, 2), keepdim=True)
    return ((values - means) * contrast + means) * brightness


def blur(values: Tensor, sigmas: Tensor, largest: float) -> Tensor:
    """Smooth images by Gaussians of different width.

    Parameters
    ----------
    values : float32 tensor, shape (B, Y, X)
    sigmas : float32 tensor, shape (B,)
        All above 0.
    largest : float
        No sigma is larger; it sets the width of all kernels.

    Returns
    -------
    float32 tensor, shape (B, Y, X)
    """
    radius = min(math.ceil(4 * largest), *(side - 1 for side in values.shape[1:]))
    at = torch.arange(-radius, radius + 1, device=values.device)
    kernels = torch.exp(-0.5 * (at / sigmas[:, None]) ** 2)
    kernels /= kernels.sum(dim=1, keepdim=True)
    for _ in range(2):  # down, and by the transposition across
        height = values.shape[1]
        padded = nn.functional.pad(values[:, None], (0, 0, radius, radius), mode="reflect")[:, 0]
        values = torch.zeros_like(values)
        for row in range(2 * radius + 1):
            values += padded[:, row : row + height] * kernels[:, row, None, None]
        values = values.transpose(1, 2).contiguous()
    return values
