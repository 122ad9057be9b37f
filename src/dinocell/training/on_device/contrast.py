"""CLAHE of a batch, as OpenCV computes it of every image."""

import torch
from torch import Tensor


def apply_clahe_to_batch(images: Tensor, *, clip_limit: float, window: int) -> Tensor:
    """Apply CLAHE; `apply_clahe` of `dinocell.preprocess` gives the same values up to rounding.

    Parameters
    ----------
    images : uint8 tensor, shape (B, Y, X)
        Both sides are multiples of `window`.
    clip_limit : float
    window : int

    Returns
    -------
    uint8 tensor, shape (B, Y, X)
    """
    batch, height, width = images.shape
    down, across = height // window, width // window
    tables = _tables(images, clip_limit, window)
    row, row_share = _neighbours(height, window, down, images.device)
    column, column_share = _neighbours(width, window, across, images.device)
    first = torch.arange(batch, device=images.device)[:, None, None] * (down * across * 256) + images.long()
    total = torch.zeros(images.shape, device=images.device)
    for lower in (0, 1):
        for right in (0, 1):
            tile = row[lower][:, None] * across + column[right]
            weight = row_share[lower][:, None] * column_share[right]
            total += tables[first + tile * 256] * weight
    return total.round().clamp(0, 255).to(torch.uint8)


def _tables(images: Tensor, clip_limit: float, window: int) -> Tensor:
    """Compute the table of gray values of every window, all in one row."""
    batch, height, width = images.shape
    area = window * window
    tiles = images.view(batch, height // window, window, width // window, window)
    pixels = tiles.permute(0, 1, 3, 2, 4).reshape(-1, area).long()
    counts = torch.zeros(len(pixels), 256, dtype=torch.int32, device=images.device)
    counts.scatter_add_(1, pixels, torch.ones((), dtype=torch.int32, device=images.device).expand_as(pixels))
    limit = max(int(clip_limit * area / 256), 1)
    excess = (counts - limit).clamp(min=0).sum(dim=1, keepdim=True, dtype=torch.int32)
    counts = counts.clamp(max=limit) + excess // 256
    # What cannot be shared out evenly goes to every n-th gray value.
    left = excess % 256
    step = (256 // left.clamp(min=1)).clamp(min=1)
    values = torch.arange(256, dtype=torch.int32, device=images.device)
    counts += ((values % step == 0) & (values // step < left)).int()
    return (counts.cumsum(dim=1) * (255 / area)).round().clamp(max=255).flatten()


def _neighbours(
    length: int, window: int, count: int, device: torch.device
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return the two windows between whose centres each pixel lies, and their shares."""
    at = (torch.arange(length, device=device) + 0.0) / window - 0.5
    before = at.floor()
    share = at - before
    windows = before.long().clamp(min=0), (before.long() + 1).clamp(max=count - 1)
    return windows, (1 - share, share)
