"""Losses, targets, moving average and collapse watch, against numbers worked out by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dinocell.models.architecture import ViTConfig
from dinocell.models.network.building import build_backbone
from dinocell.models.network.dinocell import normalise
from dinocell.training.pretraining import PretrainConfig
from dinocell.training.pretraining.config import Heads
from dinocell.training.pretraining.losses import dino_loss, ibot_loss, koleo_loss, sinkhorn_knopp
from dinocell.training.pretraining.objective import batch_losses, temperature_at
from dinocell.training.pretraining.student import SelfDistillation, copy_teacher, momentum_at, update_teacher
from dinocell.training.pretraining.watch import (
    assignment_entropy,
    assignment_information,
    effective_rank,
    feature_spread,
    is_collapsed,
)

HALF, QUARTER, FIFTH = [0.5, 0.5], [0.75, 0.25], [0.2, 0.8]


def logits(*probabilities, temperature):
    """Return logits that a softmax at a temperature turns into these probabilities."""
    return temperature * torch.tensor(probabilities).log()


def close(value, expected):
    return float(value) == pytest.approx(expected, abs=1e-5)


def test_sinkhorn_knopp_by_hand():
    # exp(logits / 0.5) is [[1, 1], [1, 3]]. Columns sum to 2 and 4, and shall sum to N / K = 1:
    # [[1/2, 1/4], [1/2, 3/4]]. Rows sum to 3/4 and 5/4, and shall sum to 1: [[2/3, 1/3], [2/5, 3/5]].
    scores = torch.tensor([[0.0, 0.0], [0.0, 0.5 * math.log(3)]])
    targets = sinkhorn_knopp(scores, temperature=0.5, iterations=1)
    torch.testing.assert_close(targets, torch.tensor([[2 / 3, 1 / 3], [0.4, 0.6]]))


@given(st.integers(1, 12), st.integers(2, 12), st.integers(0, 99))
def test_sinkhorn_knopp_shares_samples_out(samples, prototypes, seed):
    scores = torch.randn(samples, prototypes, generator=torch.Generator().manual_seed(seed))
    targets = sinkhorn_knopp(scores, temperature=1.0, iterations=200)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(samples))
    share = torch.full((prototypes,), samples / prototypes)
    torch.testing.assert_close(targets.sum(dim=0), share, rtol=1e-3, atol=1e-3)


def test_sinkhorn_knopp_bears_sharp_temperatures():
    targets = sinkhorn_knopp(torch.tensor([[1.0, -1.0], [-1.0, 1.0]]), temperature=1e-3)
    assert torch.equal(targets, torch.eye(2))


def test_dino_loss_by_hand():
    # Two views that the teacher saw and one that it did not; the pairs are those of different views:
    # teacher 0 (1, 0) with student 1: −ln 3/4 = 0.28768, with student 2: −ln 1/5 = 1.60944;
    # teacher 1 (½, ½) with student 0: −ln ½ = 0.69315, with student 2: −½ (ln 1/5 + ln 4/5) = 0.91629.
    # Their sum is 3.50656, their mean 0.87664.
    student = logits([HALF], [QUARTER], [FIFTH], temperature=0.1)
    teacher = torch.tensor([[[1.0, 0.0]], [HALF]])
    assert close(dino_loss(student, teacher, temperature=0.1), 0.87664)


def test_dino_loss_is_the_mean_over_the_batch():
    # The pairs are crossed: −ln ½ for both samples of one, −ln 3/4 and −ln 1/4 for those of the other.
    student = logits([QUARTER, QUARTER], [HALF, HALF], temperature=1.0)
    teacher = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]])
    expected = (math.log(2) + (math.log(4 / 3) + math.log(4)) / 2) / 2
    assert close(dino_loss(student, teacher, temperature=1.0), expected)


def test_ibot_loss_by_hand():
    # View 0 hides two patches: −ln ½ = 0.69315 and −ln ¼ = 1.38629, mean 1.03972. View 1 hides none.
    # View 2 hides one: −½ (ln 1/5 + ln 4/5) = 0.91629. Mean over the views that hide some: 0.97801.
    masks = torch.tensor([[True, False, True], [False, False, False], [False, True, False]])
    student = logits(HALF, QUARTER, FIFTH, temperature=0.1)
    teacher = torch.tensor([[1.0, 0.0], [0.0, 1.0], HALF])
    assert close(ibot_loss(student, teacher, masks, temperature=0.1), 0.97801)


def test_ibot_loss_without_hidden_patches_is_zero():
    nothing = torch.zeros(0, 2)
    assert float(ibot_loss(nothing, nothing, torch.zeros(2, 3, dtype=torch.bool), temperature=0.1)) == 0


def test_koleo_loss_by_hand():
    # Directions 0°, 60°, 180° and 270°: the nearest neighbours are 60°, 60°, 90° and 90° away, the chords
    # 1, 1, √2 and √2. −¼ (0 + 0 + 2 ln √2) = −0.17329. Lengths do not count.
    angles = torch.tensor([0.0, 60.0, 180.0, 270.0]).deg2rad()
    features = torch.stack([angles.cos(), angles.sin()], dim=1) * torch.tensor([[1.0], [2.0], [3.0], [0.5]])
    assert close(koleo_loss(features), -0.17329)


def test_koleo_loss_of_equal_features_has_a_finite_gradient():
    features = torch.ones(3, 4, requires_grad=True)
    loss = koleo_loss(features)
    loss.backward()
    assert close(loss.detach(), -math.log(1e-4))
    assert features.grad.isfinite().all()


def test_the_teacher_is_a_moving_average():
    student = nn.Linear(1, 1, bias=False)
    nn.init.constant_(student.weight, 1.0)
    teacher = copy_teacher(student)
    nn.init.constant_(student.weight, 3.0)
    update_teacher(teacher, student, 0.75)  # ¾ · 1 + ¼ · 3 = 1.5
    assert teacher.weight.item() == 1.5
    update_teacher(teacher, student, 0.75)  # ¾ · 1.5 + ¼ · 3 = 1.875
    assert teacher.weight.item() == 1.875
    assert not teacher.weight.requires_grad
    assert student.weight.item() == 3.0


def test_schedules_begin_and_end_where_they_should():
    assert momentum_at(0, total_steps=1, first=0.9) == pytest.approx(0.9)
    assert momentum_at(99, total_steps=100, first=0.9) == 1
    teacher = {"first_temperature": 0.02, "temperature": 0.06, "warmup_steps": 4}
    config = PretrainConfig.model_validate({"epochs": 2, "steps_per_epoch": 10, "teacher": teacher})
    assert [round(temperature_at(step, config), 3) for step in (0, 1, 4, 19)] == [0.02, 0.03, 0.06, 0.06]
    short = config.model_copy(update={"epochs": 1, "steps_per_epoch": 4})  # two steps of warm-up
    assert temperature_at(1, short) == pytest.approx(0.04)


@pytest.mark.parametrize(
    ("samples", "entropy", "information"),
    [
        # Every sample has a prototype of its own: the mean is uniform, each assignment is certain.
        (([1.0, 1e-30], [1e-30, 1.0]), 1.0, 1.0),
        # All have the same prototype.
        (([1.0, 1e-30], [1.0, 1e-30]), 0.0, 0.0),
        # All are shared out among all prototypes: collapsed too, which the mean alone does not show.
        ((HALF, HALF), 1.0, 0.0),
        # −(¾ log₂ ¾ + ¼ log₂ ¼) = 0.81128 for both, and for their mean.
        ((QUARTER, QUARTER), 0.81128, 0.0),
    ],
)
def test_assignments_by_hand(samples, entropy, information):
    scores = logits(*samples, temperature=0.1)
    assert close(assignment_entropy(scores, temperature=0.1), entropy)
    assert close(assignment_information(scores, temperature=0.1), information)


def test_spread_and_rank_by_hand():
    # (1, 0) and (−5, 0) lie at ±1 of the first axis: deviations 1 and 0, mean ½, times √2 = 0.70711.
    opposite = torch.tensor([[1.0, 0.0], [-5.0, 0.0]])
    assert close(feature_spread(opposite), 0.70711)
    assert close(effective_rank(opposite), 1)
    # The four directions of two axes: singular values √2 and √2, that is ½ and ½ of their sum, exp(ln 2).
    cross = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    assert close(effective_rank(cross), 2)
    same = torch.tensor([[3.0, 4.0], [6.0, 8.0]])
    assert close(feature_spread(same), 0)
    assert effective_rank(same) == 0


def test_what_counts_as_collapsed():
    assert is_collapsed(entropy=0.0, spread=0.8)
    assert is_collapsed(entropy=1.0, spread=0.0)
    assert not is_collapsed(entropy=0.9, spread=0.8)


def test_a_step_compares_views_of_the_same_field():
    """Compute the losses view by view and field by field, as the batched step must."""
    torch.manual_seed(0)
    backbone = ViTConfig(hidden_size=16, depth=4, heads=2, intermediate_size=32, feature_blocks=(0, 1, 2, 3))
    student = SelfDistillation(build_backbone(backbone), Heads(hidden=8, bottleneck=8, prototypes=8)).train()
    teacher = copy_teacher(student)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    large = torch.randint(256, (3, 2, 64, 64), dtype=torch.uint8)
    small = torch.randint(256, (3, 1, 32, 32), dtype=torch.uint8)
    masks = torch.zeros(3, 2, 16, dtype=torch.bool)
    masks[0, 1, :5] = masks[2, 0, 3] = True
    config = PretrainConfig.model_validate({"loss": {"dino": 2.0, "ibot": 3.0, "koleo": 0.5}})
    losses = batch_losses(student, teacher, (large, small, masks), config, temperature=0.05)

    def seen(network, view, hidden=None):
        whole, patches = network.encoder(normalise(view), hidden)
        return whole, network.view_head(whole), network.patch_head(patches)

    theirs = [seen(teacher, large[:, view]) for view in range(2)]
    ours = [seen(student, large[:, view], masks[:, view]) for view in range(2)]
    targets = sinkhorn_knopp(torch.cat([logits for _, logits, _ in theirs]), temperature=0.05)
    views = [logits for _, logits, _ in ours] + [seen(student, small[:, 0])[1]]
    dino = dino_loss(torch.stack(views), torch.stack([targets[:3], targets[3:]]), temperature=0.1)
    hidden = [(0, 2, 3), *((1, 0, patch) for patch in range(5))]  # view by view, then field by field
    targets = sinkhorn_knopp(torch.stack([theirs[v][2][f, p] for v, f, p in hidden]), temperature=0.05)
    answers = torch.stack([ours[v][2][f, p] for v, f, p in hidden])
    ibot = ibot_loss(answers, targets, masks.transpose(0, 1).flatten(0, 1), temperature=0.1)
    koleo = (koleo_loss(ours[0][0]) + koleo_loss(ours[1][0])) / 2
    torch.testing.assert_close((losses.dino, losses.ibot, losses.koleo), (dino, ibot, koleo))
    torch.testing.assert_close(losses.total, 2 * dino + 3 * ibot + 0.5 * koleo)
    losses.total.backward()
    assert student.encoder.backbone.vit.embeddings.mask_token.grad.any()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    half = config.model_copy(update={"precision": "bfloat16"})
    rounded = batch_losses(student, teacher, (large, small, masks), half, temperature=0.05)
    torch.testing.assert_close(rounded.total, losses.total, rtol=0.05, atol=0)
