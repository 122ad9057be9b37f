"""Schedule of the learning rate over a run."""

import math


def rate_factor(step: int, *, total_steps: int, warmup_steps: int) -> float:
    """Return the share of the highest learning rate at a step: a linear warm-up, then a cosine to zero.

    A warm-up takes at most half of the run.

    Examples
    --------
    >>> [rate_factor(step, total_steps=12, warmup_steps=4) for step in (0, 3, 8)]
    [0.25, 1.0, 0.5]
    """
    warmup = min(warmup_steps, total_steps // 2)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total_steps - warmup)))
