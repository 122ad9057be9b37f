"""Steps: how they change the weights; runs: crops that they draw, validation, and weights that they keep."""

import math

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from dinocell.datasets.folder import find_pairs
from dinocell.errors import ConfigError
from dinocell.io.saving import write_image, write_labels
from dinocell.models.network.dinocell import DINOCell
from dinocell.preprocess.preprocessing import Preprocessing, preprocess
from dinocell.training import EpochRecord, train, training_steps
from dinocell.training.loop import _mean_norm
from dinocell.training.samples import TrainingSamples, load_annotated, validation_batches
from dinocell.training.state import choose_precision, new_state
from dinocell.training.step import Step, _forward, optimise, validate
from tests.fakes.training import disks, make_config, rows_of, tiny_variant


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return disks(tmp_path_factory.mktemp("disks"))


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    return tiny_variant(tmp_path, monkeypatch, depth=4)


def one_step(config):
    state = new_state(config, Accelerator(cpu=True), resume=False)
    samples = TrainingSamples(
        [load_annotated(dataset, config.preprocessing) for dataset in config.train], config
    )
    return state, optimise(state, next(samples.steps(1, 2)), 1, config)


def test_the_optimiser_is_the_configured_one(folder, tiny, tmp_path):
    changes = [f"backbone.weights={tiny}", "backbone.mode=full", "backbone.layer_decay=0.5"]
    changes += ["optimiser.betas=[0.8, 0.9]", "optimiser.weight_decay=0.03", "optimiser.learning_rate=0.01"]
    state, _ = one_step(make_config(folder, tmp_path / "run", *changes, model="tiny"))
    for group in state.optimiser.param_groups:
        assert (group["betas"], group["weight_decay"]) == ((0.8, 0.9), 0.03)
        assert group["lr"] == pytest.approx(0.01 * group["lr_scale"])  # step 1 of a warm-up of 2
    assert sorted(group["lr_scale"] for group in state.optimiser.param_groups) == [
        0.0625,
        0.125,
        0.25,
        0.5,
        1.0,
    ]


def test_a_gradient_is_clipped_and_its_norm_told(folder, tmp_path):
    norms = {}
    for limit in (1e-3, 1e3):
        torch.manual_seed(0)
        change = f"optimiser.clip_grad_norm={limit}"
        state, step = one_step(make_config(folder, tmp_path / "run", change))
        left = torch.stack([p.grad.norm() for p in state.model.parameters() if p.grad is not None]).norm()
        norms[limit] = (step.gradient_norm, left.item())
    assert norms[1e3][0] == pytest.approx(norms[1e-3][0])  # as it was before
    assert norms[1e3][1] == pytest.approx(norms[1e3][0], rel=1e-4)
    assert norms[1e-3][1] == pytest.approx(1e-3, rel=1e-2)


def test_precision_is_the_one_asked_for(folder, tmp_path):
    losses = {}
    for precision in ("float32", "bfloat16"):
        torch.manual_seed(0)
        losses[precision] = one_step(make_config(folder, tmp_path / "run", precision=precision))[1].loss
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.05)
    assert losses["bfloat16"] != losses["float32"]
    assert choose_precision("auto", torch.device("cpu")) == torch.float32


@pytest.mark.slow
def test_datasets_are_drawn_by_their_weights_and_images_by_the_root_of_their_area(folder, tmp_path):
    for name, gray, side in (("dark", 20, 64), ("bright", 220, 64), ("bright", 120, 192)):
        labels = np.zeros((side, side), np.int32)
        labels[:2] = 1
        image = np.full((side, side), gray, np.uint8)
        image[0, :2] = (0, 255)  # what becomes of the grays does not depend on the image
        (tmp_path / name).mkdir(exist_ok=True)
        write_image(tmp_path / name / f"{side}_img.png", image)
        write_labels(tmp_path / name / f"{side}_masks.tif", labels)
    datasets = [{"path": tmp_path / "dark", "weight": 3}, {"path": tmp_path / "bright", "weight": 1}]
    none = {"flip": 0, "rotate": 0, "invert": 0, "scale": (1, 1), "brightness": (1, 1)}
    plain = Preprocessing(low_percentile=0, high_percentile=100, clahe=False)
    config = make_config(folder, tmp_path, train=datasets, augmentation=none, preprocessing=plain)
    samples = TrainingSamples(
        [load_annotated(dataset, config.preprocessing) for dataset in config.train], config
    )
    drawn = np.array([int(samples[number][0].float().median()) for number in range(1200)])
    shares = [(drawn == gray).mean() for gray in (20, 220, 120)]
    assert sum(shares) == 1
    # 3 of 4 from the first; of the second one's images, the larger is three times as wide: 1 to 3
    assert shares == pytest.approx([0.75, 0.25 / 4, 0.25 * 3 / 4], abs=0.04)


def test_validation_crops_are_plain_parts_of_the_images(folder, tmp_path):
    config = make_config(folder, tmp_path)
    items = load_annotated(config.validation[0], config.preprocessing)
    crops = np.concatenate([batch[0].numpy() for batch in validation_batches(items, "cells", 64, 3)])
    assert len(crops) == 4
    for number, crop in enumerate(crops):
        image = preprocess(find_pairs(folder)[number // 2].read().pixels, config.preprocessing)
        windows = np.lib.stride_tricks.sliding_window_view(image, (64, 64))
        assert (windows == crop).all(axis=(2, 3)).any()
    assert [len(batch[0]) for batch in validation_batches(items, "nuclei", 96, 8)] == [
        2
    ]  # whole images, each once


@pytest.fixture(scope="module")
def misleading(tmp_path_factory):
    """Write images of disks with labels of hardly a cell: the more is learned, the worse."""
    path = disks(tmp_path_factory.mktemp("misleading"))
    labels = np.zeros((96, 96), np.int32)
    labels[0, 0] = 1
    for name in ("a", "b"):
        write_labels(path / f"{name}_masks.tif", labels)
    return path


@pytest.mark.slow
def test_early_stopping_and_the_best_model_survive_a_resume(folder, misleading, tmp_path):
    settings = {"validation": [{"path": misleading}], "patience": 3, "epochs": 40, "steps_per_epoch": 2}
    config = make_config(folder, tmp_path / "whole", "optimiser.learning_rate=3e-3", **settings)
    train(config)
    rows = rows_of(tmp_path / "whole")
    losses = [float(row["validation_loss"]) for row in rows]
    best = int(np.argmin(losses))
    assert len(losses) == best + 1 + 3 < 40
    saved = DINOCell.from_pretrained(tmp_path / "whole" / "best_model").config.training
    assert saved["epoch"] == best + 1
    assert saved["best_validation_loss"] == pytest.approx(losses[best])

    broken = config.model_copy(update={"output": tmp_path / "broken"})
    for event in training_steps(broken):
        if isinstance(event, EpochRecord) and event.epoch == best + 2:
            break
    train(broken, resume=True)
    assert rows_of(tmp_path / "broken") == rows
    again = DINOCell.from_pretrained(tmp_path / "broken" / "best_model").config.training
    assert again["epoch"] == best + 1
    train(broken, resume=True)  # nothing is left to do
    assert rows_of(tmp_path / "broken") == rows


@pytest.mark.slow
def test_adapters_are_merged_in_what_is_saved_and_go_on_when_resumed(folder, tiny, tmp_path):
    changes = [f"backbone.weights={tiny}", "backbone.mode=lora", "backbone.lora_rank=2"]
    config = make_config(folder, tmp_path / "whole", *changes, model="tiny", epochs=2, steps_per_epoch=2)
    train(config)
    broken = config.model_copy(update={"output": tmp_path / "broken"})
    train(broken.model_copy(update={"epochs": 1}))
    first = DINOCell.from_pretrained(tmp_path / "broken" / "last", fold=False).state_dict()
    train(broken, resume=True)
    plain = DINOCell.from_variant("tiny", backbone_weights=tiny).state_dict()
    assert first.keys() == plain.keys()
    moved = {key for key in plain if not torch.equal(first[key], plain[key])}
    assert any(key.startswith("backbone.") for key in moved)
    assert not any("norm" in key for key in moved if key.startswith("backbone."))
    # Each row was trained with another cosine in its first epoch, so the second run is compared with itself.
    second = DINOCell.from_pretrained(tmp_path / "broken" / "last", fold=False).state_dict()
    assert any(not torch.equal(first[key], second[key]) for key in moved)
    assert len(rows_of(tmp_path / "broken")) == 2


@pytest.mark.slow
def test_start_from_keeps_what_the_checkpoint_says_of_itself(folder, tmp_path):
    train(
        make_config(folder, tmp_path / "a", epochs=1, steps_per_epoch=1, diameter_range={"cells": (10, 40)})
    )
    start = tmp_path / "a" / "last"
    one = {"epochs": 1, "steps_per_epoch": 1, "start_from": start}
    train(make_config(folder, tmp_path / "b", **one))
    assert DINOCell.from_pretrained(tmp_path / "b" / "last").config.targets["cells"].diameter_range == (
        10,
        40,
    )
    with pytest.raises(ConfigError, match=r"was trained with .*clahe=True.*make them the same"):
        train(make_config(folder, tmp_path / "c", "preprocessing={clahe: false}", **one))


def test_the_validation_loss_is_a_weighted_mean_over_datasets(folder, misleading, tmp_path):
    def losses_on(*weighted):
        validation = [{"path": path, "weight": weight} for path, weight in weighted]
        config = make_config(folder, tmp_path / "run", validation=validation)
        torch.manual_seed(0)
        state = new_state(config, Accelerator(cpu=True), resume=False)
        datasets = [
            validation_batches(load_annotated(of, config.preprocessing), of.annotates, 64, 3)
            for of in config.validation
        ]
        return np.array(validate(state, datasets, config))

    one, other = losses_on((folder, 1)), losses_on((misleading, 1))
    assert not np.allclose(one, other)
    assert losses_on((folder, 2), (misleading, 6)) == pytest.approx((one + 3 * other) / 4)


def test_a_step_that_float16_skipped_has_no_norm():
    assert _mean_norm([Step(1.0, 2.0), Step(1.0, math.inf), Step(1.0, 4.0)]) == 3.0
    assert _mean_norm([Step(1.0, math.inf)]) == 0.0


def test_the_last_epochs_are_averaged_and_resumed_from(folder, tmp_path):
    def state_of(config):
        return torch.load(config.output / "last" / "state.pt", weights_only=True)

    config = make_config(folder, tmp_path / "run", epochs=3, steps_per_epoch=1, average_last=2)
    epochs = []
    for event in training_steps(config):
        if isinstance(event, EpochRecord):
            epochs.append(state_of(config)["average"])
            if event.epoch == 2:
                break  # as a kill would, amid the epochs that are averaged
    train(config, resume=True)
    epochs.append(state_of(config)["average"])
    saved = DINOCell.from_pretrained(config.output / "last", fold=False).state_dict()
    for key, value in saved.items():
        if value.is_floating_point():
            torch.testing.assert_close(value, (epochs[1][key] + epochs[2][key]) / 2)
    assert not torch.equal(epochs[1]["decoder.head.weight"], epochs[2]["decoder.head.weight"])
    train(config.model_copy(update={"epochs": 5}), resume=True)
    assert state_of(config)["last_epochs"][0] == 2


def statistics_of(model):
    return {name: value.clone() for name, value in model.named_buffers() if name.endswith("running_mean")}


def test_statistics_are_gathered_averaged_and_frozen_when_their_time_has_come(folder, tmp_path):
    config = make_config(
        folder, tmp_path / "run", epochs=1, steps_per_epoch=4, freeze_statistics=0.5, ema_decay=0.5
    )
    state = new_state(config, Accelerator(cpu=True), resume=False)
    samples = TrainingSamples([load_annotated(config.train[0], config.preprocessing)], config)
    seen = [statistics_of(state.model)]
    averages = [statistics_of(state.average.model)]
    for step, batches in enumerate(samples.steps(0, config.total_steps)):
        optimise(state, batches, step, config)
        seen.append(statistics_of(state.model))
        averages.append(statistics_of(state.average.model))
    assert seen[0]
    for name in seen[0]:
        assert not torch.equal(seen[0][name], seen[1][name])  # gathered in steps 1 and 2
        assert not torch.equal(seen[1][name], seen[2][name])
        assert torch.equal(seen[2][name], seen[3][name])  # frozen in steps 3 and 4
        assert torch.equal(seen[3][name], seen[4][name])
        # The average of step 1 has the decay 1/10, see WeightAverage.
        expected = 0.1 * averages[0][name] + 0.9 * seen[1][name]
        torch.testing.assert_close(averages[1][name], expected)


def test_only_the_map_of_what_is_annotated_learns(folder, tmp_path):
    annotated = [{"path": folder, "annotates": target, "weight": 1} for target in ("nuclei", "cells")]
    config = make_config(folder, tmp_path / "run", train=annotated, validation=annotated)
    state = new_state(config, Accelerator(cpu=True), resume=False)
    assert list(state.model.config.targets) == ["cells", "nuclei"]
    items = load_annotated(config.train[0], config.preprocessing)
    batch = validation_batches(items, "nuclei", 64, 2)[0]
    _forward(state, state.model, batch)[0].sum().backward()
    both = state.model
    cells, nuclei = both.decoder.head.weight.grad
    assert cells.abs().max() == 0
    assert nuclei.abs().max() > 0
