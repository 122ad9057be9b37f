"""Losses of self-distillation, and the targets that they compare with."""

import math

import torch
from torch import Tensor
from torch.nn import functional

SMALLEST_DISTANCE = 1e-4
"""Features that are nearer count as this far apart: the gradient of a logarithm has no bound at 0."""


@torch.no_grad()
def sinkhorn_knopp(logits: Tensor, *, temperature: float, iterations: int = 3) -> Tensor:
    """Assign samples to prototypes so that every prototype gets the same share of the batch.

    Columns (prototypes) and rows (samples) are brought to their sums by turns. Where two samples both prefer
    the first prototype, the one that prefers it less gets the second. So the targets of a batch always
    differ, and a network that gives one answer to all images does not meet them::

        softmax          columns sum to N / K = 1    rows sum to 1       after 3 rounds
        0.9  0.1         0.60  0.20                  0.75  0.25          0.71  0.29
        0.6  0.4         0.40  0.80                  0.33  0.67          0.29  0.71

    Parameters
    ----------
    logits : float tensor, shape (N, K)
        N samples, K prototypes.
    temperature : float
        Lower is sharper.
    iterations : int
        Rounds, each of the columns and then the rows.

    Returns
    -------
    float32 tensor, shape (N, K)
        Rows sum to 1, columns nearly to N / K.

    References
    ----------
    Cuturi, Sinkhorn distances, 2013; Caron et al., SwAV, 2020, as in DINOv2 and DINOv3.
    """
    scores = logits.float() / temperature  # as logarithms, which neither overflow nor vanish
    share = math.log(scores.shape[0] / scores.shape[1])
    for _ in range(iterations):
        scores = scores - scores.logsumexp(dim=0, keepdim=True) + share
        scores = scores - scores.logsumexp(dim=1, keepdim=True)
    return scores.exp()


def dino_loss(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """Compute the cross-entropy between the teacher's answer to one view and the student's to another.

    Parameters
    ----------
    student : float tensor, shape (V, B, K)
        Logits; the first G views are those that the teacher saw.
    teacher : float tensor, shape (G, B, K)
        Probabilities.
    temperature : float
        Temperature of the student's softmax.

    Returns
    -------
    float32 tensor, shape ()
        Mean over the batch and over the pairs of different views.

    References
    ----------
    Caron et al., Emerging properties in self-supervised vision transformers, 2021.
    """
    predicted = functional.log_softmax(student.float() / temperature, dim=-1)
    losses = -torch.einsum("gbk,vbk->gv", teacher, predicted) / student.shape[1]
    # Pairs of G = 2 teacher's views (rows) and V = 5 student's: those of a view with itself are left out.
    #   ·  x  x  x  x
    #   x  ·  x  x  x
    pairs = losses.numel() - len(teacher)
    return (losses.sum() - losses.diagonal().sum()) / pairs


def ibot_loss(student: Tensor, teacher: Tensor, masks: Tensor, *, temperature: float) -> Tensor:
    """Compute the cross-entropy between teacher and student at the patches hidden from the student.

    Parameters
    ----------
    student : float tensor, shape (M, K)
        Logits of the hidden patches, in the order of `masks`.
    teacher : float tensor, shape (M, K)
        Probabilities of the same patches, which the teacher sees.
    masks : bool tensor, shape (V, N)
        The hidden ones of the N patches of every view; M in all.
    temperature : float
        Temperature of the student's softmax.

    Returns
    -------
    float32 tensor, shape ()
        Mean over a view's hidden patches, then over the views that have some; 0 if none has.

    References
    ----------
    Zhou et al., iBOT: image BERT pre-training with online tokenizer, 2022.
    """
    counts = masks.sum(dim=1)
    sizes = counts.repeat_interleave(counts)  # for every hidden patch, how many its view has
    predicted = functional.log_softmax(student.float() / temperature, dim=-1)
    losses = -(teacher * predicted).sum(dim=-1) / sizes
    return losses.sum() / (counts > 0).sum().clamp(min=1)


def koleo_loss(features: Tensor) -> Tensor:
    """Compute the negative mean logarithm of the distance to the nearest neighbour, on the unit sphere.

    Parameters
    ----------
    features : float tensor, shape (B, D)
        At least two.

    Returns
    -------
    float32 tensor, shape ()

    References
    ----------
    Sablayrolles et al., Spreading vectors for similarity search, 2019: Kozachenko and Leonenko's estimate of
    the entropy.
    """
    points = functional.normalize(features.float(), dim=-1)
    with torch.no_grad():
        cosines = (points @ points.T).fill_diagonal_(-2)  # lower than any: nothing is its own neighbour
        nearest = cosines.argmax(dim=1)
    distances = torch.linalg.vector_norm(points - points[nearest], dim=-1)
    loss: Tensor = -distances.clamp(min=SMALLEST_DISTANCE).log().mean()
    return loss
