import itertools
import json
import math

import numpy as np
import pytest
import torch

from dinocell.datasets.folder import find_pairs
from dinocell.datasets.process import ProcessSettings, process
from dinocell.errors import (
    CheckpointError,
    ConfigError,
    DeviceMemoryError,
    FileFormatError,
    OutputError,
    TrainingError,
)
from dinocell.io.saving import write_image
from dinocell.io.settings_files import read_settings
from dinocell.models.checkpoint import GRAPH_FILE
from dinocell.models.finding import CONFIG_FILE
from dinocell.models.network.dinocell import DINOCell
from dinocell.postprocess.distance import labels_to_distance
from dinocell.preprocess.preprocessing import Preprocessing
from dinocell.training import EpochRecord, TrainConfig, train, training_steps
from dinocell.training.augmentation import NO_AUGMENTATION
from dinocell.training.checkpoints import _names
from dinocell.training.config import BackboneTraining, Dataset, Loss
from dinocell.training.objective import map_loss, pixel_counts, pixel_losses
from dinocell.training.samples import TrainingSamples, load_annotated
from dinocell.training.saved_state import STATE_FILE
from dinocell.training.schedule import rate_factor
from tests.cases import disk
from tests.fakes.training import disks, make_config, rows_of, tiny_variant
from tests.models.test_graph import check_equal

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return disks(tmp_path_factory.mktemp("disks"))


def test_folders_of_masks_are_refused_or_split_and_that_is_logged(tmp_path, caplog):
    mask = np.zeros((96, 96), np.uint8)
    for centre in itertools.product((16, 48, 80), repeat=2):
        mask[disk(mask.shape, centre, 11)] = 1
    (tmp_path / "masks").mkdir()
    write_image(tmp_path / "masks" / "a_img.png", 50 + 100 * mask)
    write_image(tmp_path / "masks" / "a_masks.png", mask)
    config = make_config(tmp_path / "masks", tmp_path / "out")
    with pytest.raises(FileFormatError, match=r"1 id in 9 pieces.*--split-components"):
        next(training_steps(config))
    config = make_config(tmp_path / "masks", tmp_path / "other", split_components=True)
    with caplog.at_level("WARNING", "dinocell"):
        next(training_steps(config))
    note = f"{tmp_path / 'masks' / 'a_masks.png'}: 1 id in 9 pieces, each a cell now"
    assert caplog.messages.count(note) == 2  # as data to learn from, and to validate on


@pytest.mark.slow
def test_training_learns_disks(folder, tmp_path):
    config = make_config(
        folder,
        tmp_path / "run",
        "optimiser.learning_rate=3e-3",
        epochs=4,
        steps_per_epoch=15,
        diameter_range={"cells": (10, 40)},
    )
    records = []
    train(config, progress=lambda event: records.append(event) if isinstance(event, EpochRecord) else None)
    # Predicting 0 everywhere costs the mean square of the map; a trained model must do far better.
    labels = [pair.read().labels for pair in find_pairs(folder)]
    nothing = np.mean([np.square(labels_to_distance(x)).mean() for x in labels])
    assert records[-1].validation_mse < 0.5 * nothing
    assert records[-1].validation_mse < records[0].validation_mse
    best = DINOCell.from_pretrained(tmp_path / "run" / "best_model")
    assert best.config.trained
    assert best.config.training["seed"] == 0
    assert best.config.targets["cells"].diameter_range == (10, 40)


def test_datasets_of_the_same_name_are_all_recorded(tmp_path):
    paths = (tmp_path / "a" / "store", tmp_path / "b" / "store", tmp_path / "other")
    assert _names([Dataset(path=path) for path in paths]) == ["store 0", "store 1", "other"]


@pytest.mark.slow
def test_a_run_folder_says_all_of_a_run(folder, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = make_config(folder, tmp_path / "run", epochs=1, graph=True)
    train(config)
    train(config.model_copy(update={"epochs": 2}), resume=True)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"best_model", "config.yaml", "environment.json", "last", "metrics.csv", "tensorboard"}
    assert read_settings(TrainConfig, tmp_path / "run" / "config.yaml").epochs == 2
    best = tmp_path / "run" / "best_model"
    check_equal(DINOCell.from_pretrained(best), best / GRAPH_FILE)  # without BatchNorm, as the weights are
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert environment["packages"]["torch"] == torch.__version__
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    logged = events.Scalars("loss/validation")
    rows = rows_of(tmp_path / "run")
    assert [event.step for event in logged] == [int(row["step"]) for row in rows] == [3, 6]
    for event, row in zip(logged, rows, strict=True):
        assert event.value == pytest.approx(float(row["validation_loss"]))
    (panels,) = events.Tags()["images"]
    assert len(events.Images(panels)) == 2


@pytest.mark.slow
def test_a_resumed_run_equals_an_uninterrupted_one(folder, tmp_path):
    torch.set_num_threads(1)
    train(make_config(folder, tmp_path / "whole"))
    config = make_config(folder, tmp_path / "broken")
    for event in training_steps(config):
        if isinstance(event, EpochRecord):
            break  # as a kill would, right after the first checkpoint
    train(config, resume=True)
    assert rows_of(tmp_path / "broken") == rows_of(tmp_path / "whole")
    one, other = (
        DINOCell.from_pretrained(tmp_path / name / "last").state_dict() for name in ("whole", "broken")
    )
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.slow
def test_a_run_is_never_overwritten_and_resumed_only_as_it_was(folder, tmp_path):
    config = make_config(folder, tmp_path / "run", epochs=1, steps_per_epoch=1)
    train(config)
    with pytest.raises(OutputError, match="go on with --resume"):
        train(config)
    with pytest.raises(CheckpointError, match="another seed, batch_size"):
        train(config.model_copy(update={"seed": 5, "batch_size": 1}), resume=True)
    state = tmp_path / "run" / "last" / "state.pt"
    for damage in (b"", b"garbage", state.read_bytes()[:-500]):
        state.write_bytes(damage)
        with pytest.raises(CheckpointError, match="cannot be resumed"):
            train(config, resume=True)


@pytest.mark.slow
def test_a_kill_between_two_renames_loses_nothing(folder, tmp_path):
    config = make_config(folder, tmp_path / "run", epochs=1, steps_per_epoch=1)
    train(config)
    for name in ("last", "best_model"):  # what such a kill leaves behind
        (config.output / name).rename(config.output / f".{name}.old")
    train(config.model_copy(update={"epochs": 2}), resume=True)
    assert [row["epoch"] for row in rows_of(config.output)] == ["1", "2"]
    assert (config.output / "best_model" / "config.json").exists()


def test_a_loss_that_is_not_finite_stops_the_run(folder, tmp_path):
    config = make_config(
        folder, tmp_path / "run", "optimiser.learning_rate=1e30", "optimiser.clip_grad_norm=1e30", epochs=5
    )
    with pytest.raises(TrainingError, match=r"on crops of [ab](, b)?: .*lower optimiser.learning_rate"):
        train(config)


def test_start_from_begins_with_those_weights(folder, tmp_path):
    train(make_config(folder, tmp_path / "a", epochs=1, steps_per_epoch=1))
    start = tmp_path / "a" / "best_model"
    config = make_config(folder, tmp_path / "b", start_from=start, epochs=1, steps_per_epoch=1)
    with pytest.raises(ConfigError, match="make them the same"):
        train(config.model_copy(update={"model": "small"}))
    train(
        make_config(
            folder,
            tmp_path / "b",
            "optimiser.learning_rate=1e-12",
            start_from=start,
            epochs=1,
            steps_per_epoch=1,
            ema_decay=0.0,
        )
    )
    before, after = (DINOCell.from_pretrained(path).state_dict() for path in (start, tmp_path / "b" / "last"))
    for key, value in before.items():
        torch.testing.assert_close(value, after[key], atol=1e-6, rtol=1e-6)


@pytest.fixture
def published(tmp_path, monkeypatch):
    return tiny_variant(tmp_path, monkeypatch, depth=5)


def backbone_of(checkpoint):
    return DINOCell.from_pretrained(checkpoint).backbone.state_dict()


def make_tiny_config(folder, published, *changes, **values):
    one_step = {"model": "tiny", "epochs": 1, "steps_per_epoch": 1}
    changes = (f"backbone.weights={published}", *changes)
    return make_config(folder, published.parent / "run", *changes, **one_step | values)


@pytest.mark.slow
def test_published_weights_are_frozen_unless_told_otherwise_and_stored_once(folder, published, tmp_path):
    config = make_tiny_config(folder, published)
    train(config)
    last = tmp_path / "run" / "last"
    started = DINOCell.from_variant("tiny", backbone_weights=published)
    trained = DINOCell.from_pretrained(last)
    for key, value in started.backbone.state_dict().items():
        assert torch.equal(trained.backbone.state_dict()[key], value)
    assert not torch.equal(started.decoder.head.weight, trained.decoder.head.weight)
    assert trained.config.backbone_weights == started.config.backbone_weights
    assert str(tmp_path) not in (last / CONFIG_FILE).read_text()

    state = torch.load(last / STATE_FILE, weights_only=True)
    learning = sum(1 for _ in started.decoder.parameters())
    assert len(state["optimiser"]["state"]) == learning
    for key in state["model"]:
        same = state["model"][key].data_ptr() == state["average"][key].data_ptr()
        assert same == key.startswith("backbone.")  # one copy of what does not learn

    published.unlink()  # a run goes on without it
    train(config.model_copy(update={"epochs": 2}), resume=True)
    assert DINOCell.from_pretrained(last).config.backbone_weights == started.config.backbone_weights


def test_the_last_blocks_of_a_frozen_backbone_can_learn(folder, published, tmp_path):
    train(make_tiny_config(folder, published, "backbone.unfreeze_last=2"))
    before = DINOCell.from_variant("tiny", backbone_weights=published).backbone.state_dict()
    after = backbone_of(tmp_path / "run" / "last")
    changed = {key.split("layer.")[1][0] for key in before if not torch.equal(before[key], after[key])}
    assert changed == {"3", "4"}


def test_unfreeze_last_must_fit_the_backbone(folder, published):
    with pytest.raises(ConfigError, match="unfreeze_last is 9, expected at most 5"):
        train(make_tiny_config(folder, published, "backbone.unfreeze_last=9"))
    with pytest.raises(ConfigError, match="unfreeze_last is for a frozen backbone"):
        train(make_tiny_config(folder, published, "backbone.unfreeze_last=1", "backbone.mode=full"))


def test_a_run_that_starts_from_a_frozen_one_stays_frozen(folder, published, tmp_path):
    train(make_tiny_config(folder, published))
    first = tmp_path / "run" / "best_model"
    second = make_tiny_config(folder, published, "backbone.weights=null", start_from=first)
    train(second.model_copy(update={"output": tmp_path / "second"}))
    before, after = backbone_of(first), backbone_of(tmp_path / "second" / "last")
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert (
        DINOCell.from_pretrained(tmp_path / "second" / "last").config.training["backbone"]["mode"] == "frozen"
    )


def test_a_run_resumes_only_with_the_same_part_frozen_and_with_its_state(folder, published, tmp_path):
    config = make_tiny_config(folder, published)
    train(config)
    published.unlink()
    with pytest.raises(CheckpointError, match=r"another backbone\.mode"):
        train(config.model_copy(update={"backbone": BackboneTraining(mode="full")}), resume=True)
    with pytest.raises(CheckpointError, match=r"another backbone\.unfreeze_last"):
        train(config.model_copy(update={"backbone": BackboneTraining(unfreeze_last=1)}), resume=True)
    last = tmp_path / "run" / "last"
    last.rename(last.with_name(".last.old"))  # as a kill between two renames leaves it
    train(config.model_copy(update={"epochs": 2}), resume=True)
    rows = rows_of(tmp_path / "run")
    (last / STATE_FILE).unlink()
    with pytest.raises(CheckpointError, match=r"has no state\.pt and cannot be resumed"):
        train(config.model_copy(update={"epochs": 3}), resume=True)
    assert rows_of(tmp_path / "run") == rows
    assert len(rows) == 2


def test_a_whole_backbone_can_be_fine_tuned(folder, published, tmp_path):
    train(make_tiny_config(folder, published, "backbone.mode=full"))
    before = DINOCell.from_variant("tiny", backbone_weights=published).backbone.state_dict()
    after = backbone_of(tmp_path / "run" / "last")
    unchanged = {key for key in before if torch.equal(before[key], after[key])}
    assert unchanged == {"vit.embeddings.mask_token"}  # which only pretraining uses


def test_a_step_that_does_not_fit_the_memory_says_what_to_do(folder, tmp_path, monkeypatch):
    def exhaust(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(torch.Tensor, "backward", exhaust)
    with pytest.raises(DeviceMemoryError, match="2 crops of 64 px: lower batch_size"):
        train(make_config(folder, tmp_path / "run"))


def test_a_store_serves_as_training_data_with_the_map_of_whole_cells(folder, tmp_path):
    settings = ProcessSettings("folder", size=64, overlap=32)
    list(process(find_pairs(folder), tmp_path / "store", settings, workers=0))
    data = Dataset(path=tmp_path / "store")
    config = make_config(folder, tmp_path / "run", train=[data], epochs=1, steps_per_epoch=1)
    items = load_annotated(data, config.preprocessing)
    assert len(items) == 8  # two images of 96 px, four crops each
    whole = labels_to_distance(find_pairs(folder)[0].read().labels)
    assert np.array_equal(items[3].distance, whole[32:, 32:])  # cells that the crop cuts included
    cut = labels_to_distance(items[3].labels)
    assert not np.array_equal(items[3].distance, cut)
    plain = make_config(folder, tmp_path, crop_size=64, augmentation={"flip": 0, "rotate": 0, "invert": 0})
    sample = TrainingSamples([items], plain.model_copy(update={"augmentation": NO_AUGMENTATION}))[0]
    assert any(np.array_equal(sample[1].numpy(), item.distance) for item in items)
    train(config)
    settings = ProcessSettings("folder", size=256, overlap=32)  # the images are smaller: padding around them
    list(process(find_pairs(folder), tmp_path / "padded", settings, workers=0))
    padded = load_annotated(Dataset(path=tmp_path / "padded"), config.preprocessing)
    assert padded[0].image.shape == (96, 96)
    assert all(sample.all() for sample in (TrainingSamples([padded], config)[n][2] for n in range(20)))
    other = config.model_copy(update={"preprocessing": Preprocessing(clahe=False), "output": tmp_path / "b"})
    with pytest.raises(ConfigError, match="make them the same"):
        train(other)


def test_learning_rate_by_hand():
    settings = {"total_steps": 110, "warmup_steps": 10}
    assert rate_factor(0, **settings) == pytest.approx(0.1)
    assert rate_factor(9, **settings) == pytest.approx(1.0)
    assert rate_factor(10, **settings) == pytest.approx(1.0)
    assert rate_factor(60, **settings) == pytest.approx(0.5)  # half of the cosine
    assert rate_factor(110, **settings) == pytest.approx(0.0)
    # A warm-up longer than the training would never reach the rate: it takes half of the run at most.
    assert max(rate_factor(step, total_steps=20, warmup_steps=250) for step in range(20)) == pytest.approx(1)


def test_samples_depend_on_seed_and_number_alone(folder, tmp_path):
    config = make_config(folder, tmp_path)
    items = [load_annotated(config.train[0], config.preprocessing)]
    samples = TrainingSamples(items, config)
    again = TrainingSamples(items, config)
    image, distance, valid, target = samples[5]
    torch.testing.assert_close(again[5], (image, distance, valid, target))
    assert not torch.equal(image, samples[6][0])
    other = TrainingSamples(items, config.model_copy(update={"seed": 1}))
    assert not torch.equal(image, other[5][0])
    (batch,) = next(samples.steps(2, 3))  # step 2 of batches of 2 holds samples 4 and 5
    assert torch.equal(batch[0][1], image)
    assert valid.all()
    assert target == 0  # cells, as nothing else is said
    nuclei = make_config(folder, tmp_path, train=[{"path": folder, "annotates": "nuclei"}])
    assert TrainingSamples(items, nuclei)[5][3] == 1


def test_processes_share_the_batches_of_a_step(folder, tmp_path):
    config = make_config(folder, tmp_path, batch_size=4, accumulate=3)
    samples = TrainingSamples([load_annotated(config.train[0], config.preprocessing)], config)
    whole = next(samples.steps(1, 2))  # samples 12 to 23
    assert [len(batch[0]) for batch in whole] == [4, 4, 4]
    assert torch.equal(whole[2][0][3], samples[23][0])
    shares = [next(samples.steps(1, 2, process=number, processes=2)) for number in (0, 1)]
    for batch, first, second in zip(whole, *shares, strict=True):
        assert all(
            torch.equal(part, torch.cat(halves)) for part, *halves in zip(batch, first, second, strict=True)
        )
    assert samples.names(1) == ["a", "b"]


def test_losses_by_hand_and_ignored_pixels_count_for_nothing():
    logits = torch.tensor([[[0.0, math.log(3), 50.0]]], requires_grad=True)  # sigmoid: 0.5, 0.75, 1
    distance = torch.tensor([[[0.25, 0.75, 0.0]]])
    valid = torch.tensor([[[True, True, False]]])
    counts = pixel_counts(distance, valid)
    assert counts.tolist() == [2, 2]
    # MSE: ((0.5 − 0.25)² + 0) / 2 = 0.03125
    assert map_loss(logits, distance, valid, counts, Loss()).item() == pytest.approx(0.03125, abs=1e-6)
    # BCE: −[0.25 ln 0.5 + 0.75 ln 0.5] = 0.6931 and −[0.75 ln 0.75 + 0.25 ln 0.25] = 0.5623
    bce = map_loss(logits, distance, valid, counts, Loss(kind="bce")).item()
    assert bce == pytest.approx((0.6931 + 0.5623) / 2, abs=1e-4)
    # Both have their minimum at sigmoid(logit) = map: the second pixel, where they agree, has no gradient.
    for kind in ("mse", "bce"):
        (gradient,) = torch.autograd.grad(map_loss(logits, distance, valid, counts, Loss(kind=kind)), logits)
        assert gradient[0, 0, 0] > 0.01
        assert gradient[0, 0, 1].abs() < 1e-6
        assert gradient[0, 0, 2] == 0


def test_the_foreground_term_by_hand():
    logits = torch.zeros(1, 1, 4)  # sigmoid: 0.5
    distance = torch.tensor([[[0.0, 0.0, 1.0, 0.5]]])
    valid = torch.tensor([[[True, True, True, False]]])
    counts = pixel_counts(distance, valid)
    assert counts.tolist() == [3, 1]
    # all: 3 · 0.25 / 3; cells: 0.25 / 1, twice as heavy
    loss = map_loss(logits, distance, valid, counts, Loss(foreground=2.0))
    assert loss.item() == pytest.approx(0.25 + 2 * 0.25)
    nothing = map_loss(
        logits, distance, torch.zeros_like(valid), torch.zeros(2, dtype=torch.int64), Loss(foreground=1)
    )
    assert nothing.item() == 0  # no pixel is valid: not 0 / 0


def test_losses_of_parts_add_up_to_that_of_the_whole():
    generator = torch.Generator().manual_seed(0)
    logits, distance = (torch.rand(6, 5, 7, generator=generator) for _ in range(2))
    distance = (distance - 0.5).clamp(min=0)
    valid = torch.rand(6, 5, 7, generator=generator) > 0.3
    valid[:2] = False
    loss = Loss(foreground=0.5)
    counts = pixel_counts(distance, valid)
    whole = map_loss(logits, distance, valid, counts, loss)
    parts = [
        map_loss(logits[i : i + 2], distance[i : i + 2], valid[i : i + 2], counts, loss) for i in (0, 2, 4)
    ]
    torch.testing.assert_close(sum(parts), whole)
    assert pixel_losses(logits, distance, "mse").shape == (6, 5, 7)
