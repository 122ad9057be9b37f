"""Signs of collapse, of a network that gives one answer to all images."""

import math

import torch
from torch import Tensor
from torch.nn import functional

LEAST_ENTROPY = 0.05
LEAST_SPREAD = 0.1
"""Below either of them a run is reported as collapsed."""


def assignment_entropy(logits: Tensor, *, temperature: float) -> float:
    """Compute the entropy of the mean assignment to prototypes, before a batch is shared out among them.

    Parameters
    ----------
    logits : float tensor, shape (N, K)
        Logits of the teacher.
    temperature : float

    Returns
    -------
    float
        As a share of the largest: 0 where all samples get the same single prototype, 1 where all prototypes
        are used alike.
    """
    mean = functional.softmax(logits.double() / temperature, dim=-1).mean(dim=0)
    return float(torch.special.entr(mean).sum()) / math.log(len(mean))


def assignment_information(logits: Tensor, *, temperature: float) -> float:
    """Measure how much a sample's assignment to prototypes tells about the sample.

    Parameters
    ----------
    logits : float tensor, shape (N, K)
        Logits of the teacher.
    temperature : float

    Returns
    -------
    float
        Entropy of the mean assignment less the mean entropy of assignments, as a share of log K: 0 where all
        samples get the same assignment, be it one prototype or all of them; 1 where each gets one prototype
        and all prototypes are used alike.
    """
    shares = functional.softmax(logits.double() / temperature, dim=-1)
    mean_entropy = float(torch.special.entr(shares).sum(dim=-1).mean()) / math.log(shares.shape[1])
    return assignment_entropy(logits, temperature=temperature) - mean_entropy


def feature_spread(features: Tensor) -> float:
    """Compute the standard deviation of features on the unit sphere, mean over dimensions, times √D.

    Parameters
    ----------
    features : float tensor, shape (N, D)

    Returns
    -------
    float
        0 where all are the same, about 1 where they point anywhere.

    References
    ----------
    Chen and He, Exploring simple Siamese representation learning, 2021, section 4.1.
    """
    points = functional.normalize(features.double(), dim=-1)
    return float(points.std(dim=0, correction=0).mean()) * math.sqrt(points.shape[1])


def effective_rank(features: Tensor) -> float:
    """Count the directions that features on the unit sphere spread along, about their mean.

    Parameters
    ----------
    features : float tensor, shape (N, D)

    Returns
    -------
    float
        Exponential of the entropy of the singular values; at most the smaller of N and D, 0 where all
        features are the same.

    References
    ----------
    Roy and Vetterli, The effective rank, 2007; Garrido et al., RankMe, 2023.
    """
    points = functional.normalize(features.double(), dim=-1)
    values = torch.linalg.svdvals(points - points.mean(dim=0))
    total = float(values.sum())
    if total < 1e-9 * len(points):
        return 0.0
    return math.exp(float(torch.special.entr(values / total).sum()))


def is_collapsed(entropy: float, spread: float) -> bool:
    """Return whether entropy or spread is too low."""
    return entropy < LEAST_ENTROPY or spread < LEAST_SPREAD
