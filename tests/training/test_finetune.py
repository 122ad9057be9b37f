import csv
import json

import numpy as np
import pytest
import tifffile
import torch
from pydantic import ValidationError
from typer.testing import CliRunner

from dinocell.cli import app
from dinocell.errors import (
    ConfigError,
    DINOCellError,
    FileFormatError,
    InputError,
    OutputError,
    TrainingError,
    UntrainedModelError,
)
from dinocell.inference.pipeline import DINOCellPipeline
from dinocell.io.saving import write_image, write_labels
from dinocell.io.settings_files import read_settings
from dinocell.labels import TARGETS
from dinocell.models.architecture import DecoderConfig, ViTConfig
from dinocell.models.checkpoint import GRAPH_FILE
from dinocell.models.configuration import ModelConfig, TargetSettings
from dinocell.models.network.dinocell import DINOCell
from dinocell.training.augment import Crop
from dinocell.training.finetuning import loop
from dinocell.training.finetuning.cached_features import CropCache
from dinocell.training.finetuning.config import FinetuneConfig
from dinocell.training.finetuning.images import OwnImage, find_items, read_images
from dinocell.training.finetuning.learner import Learner
from dinocell.training.finetuning.loop import finetune, finetune_steps
from dinocell.training.finetuning.result import CropsDone, FinetuneResult, FinetuneStep, ImageRead, LeftOut
from tests.cases import disk
from tests.models.test_graph import check_equal

SIZE = 64


def write_disks(folder, name, seed):
    """Return an image of bright disks on noise."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((80, 80), np.int32)
    for number, centre in enumerate([(r, c) for r in (14, 40, 66) for c in (14, 40, 66)], start=1):
        labels[disk(labels.shape, rng.normal(centre, 1.5), rng.uniform(7, 10))] = number
    gray = (60 + 100 * (labels > 0) + rng.normal(0, 8, labels.shape)).clip(0, 255)
    write_image(folder / f"{name}_img.png", gray.astype(np.uint8))
    write_labels(folder / f"{name}_masks.tif", labels)
    return labels


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("disks")
    for seed, name in enumerate("abc"):
        write_disks(path, name, seed)
    return path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Write a checkpoint with a small ViT that passes for trained."""
    torch.manual_seed(0)
    backbone = ViTConfig(hidden_size=48, depth=5, heads=2, intermediate_size=96, feature_blocks=(0, 1, 2, 4))
    decoder = DecoderConfig(widths=(8, 8, 8, 16, 16, 16))
    targets = {name: TargetSettings(diameter_range=(25, 70)) for name in TARGETS}
    config = ModelConfig(variant="tiny", backbone=backbone, decoder=decoder, trained=True, targets=targets)
    return DINOCell(config).save_pretrained(tmp_path_factory.mktemp("models") / "tiny")


def make_config(images, output, **changes):
    few = {"steps": 2, "variants": 3, "crop_size": SIZE, "batch_size": 2, "device": "cpu", "graph": False}
    return FinetuneConfig.model_validate({"images": images, "output": output, **few, **changes})


def events_of(config):
    *events, result = finetune_steps(config)
    assert isinstance(result, FinetuneResult)
    return events, result


def random_crops(count):
    rng = np.random.default_rng(1)
    for _ in range(count):
        distance = rng.random((SIZE, SIZE), np.float32) * (rng.random((SIZE, SIZE)) > 0.6)
        yield Crop(rng.integers(0, 255, (SIZE, SIZE), np.uint8), distance, rng.random((SIZE, SIZE)) > 0.1)


def losses(checkpoint, tmp_path, *, features, dtype="float32", memory_limit=2**30, **changes):
    """Train a decoder over a frozen backbone; return its losses and weights."""
    model = DINOCell.from_pretrained(checkpoint)
    model.freeze_backbone()
    config = make_config(tmp_path, tmp_path, steps=6, **changes)
    with CropCache(
        model, 0, 5, SIZE, features=features, dtype=dtype, memory_limit=memory_limit, folder=tmp_path
    ) as cache:
        assert list(cache.fill(random_crops(5), 2)) == [2, 4, 5]
        assert cache.in_memory == (cache.bytes <= memory_limit)
        learner = Learner(model, cache, config)
        found = list(learner.learn(np.arange(5)))
    assert not list(tmp_path.glob(".features*"))
    assert (learner.times is not None) == features
    assert not model.training
    return np.array(found), model


@pytest.mark.slow
def test_a_mask_of_one_value_is_refused_or_split_said_and_recorded(tiny, tmp_path):
    labels = write_disks(tmp_path, "a", 0)
    write_labels(tmp_path / "a_masks.tif", labels > 0)
    config = make_config(tmp_path, tmp_path / "out", model=str(tiny), cross_validation=False, graph=True)
    with pytest.raises(FileFormatError, match=r"a_masks\.tif: 1 id in 9 pieces"):
        events_of(config)
    events, result = events_of(config.model_copy(update={"split_components": True}))
    note = f"{tmp_path / 'a_masks.tif'}: 1 id in 9 pieces, each a cell now"
    (read,) = (event for event in events if isinstance(event, ImageRead))
    assert (read.cells, read.notes) == (9, (note,))
    check_equal(DINOCell.from_pretrained(result.model), result.model / GRAPH_FILE)
    training = DINOCell.from_pretrained(result.model).config.training
    assert (training["split_components"], training["notes"]) == (True, [note])
    with pytest.raises(ConfigError, match="corrected results always are"):
        read_settings(
            FinetuneConfig,
            None,
            (),
            images=tmp_path,
            output=tmp_path,
            corrected=tmp_path,
            split_components=True,
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny", "nano"])
def test_cached_features_teach_what_the_backbone_would(name, tiny, tmp_path):
    checkpoint = tiny if name == "tiny" else name
    with_backbone, slow = losses(checkpoint, tmp_path, features=False)
    cached, fast = losses(checkpoint, tmp_path, features=True)
    assert with_backbone[-1] != with_backbone[0]
    np.testing.assert_allclose(cached, with_backbone, rtol=0, atol=1e-5)
    begun = DINOCell.from_pretrained(checkpoint).state_dict()
    for key, value in fast.state_dict().items():
        torch.testing.assert_close(value, slow.state_dict()[key], rtol=0, atol=1e-4)
        if key.startswith("backbone."):
            assert torch.equal(value, begun[key])
    assert not torch.equal(fast.decoder.head.weight, begun["decoder.head.weight"])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_file_holds_the_same_as_memory_and_16_bits_nearly_so(dtype, tiny, tmp_path):
    exact, _ = losses(tiny, tmp_path, features=True)
    in_memory, _ = losses(tiny, tmp_path, features=True, dtype=dtype)
    in_file, _ = losses(tiny, tmp_path, features=True, dtype=dtype, memory_limit=0)
    np.testing.assert_array_equal(in_file, in_memory)
    np.testing.assert_allclose(in_memory, exact, rtol=0.01)


def test_features_that_16_bits_cannot_hold_are_refused(tiny, tmp_path):
    model = DINOCell.from_pretrained(tiny)
    norms = [module for module in model.backbone.modules() if isinstance(module, torch.nn.LayerNorm)]
    with torch.no_grad():
        norms[-1].weight.mul_(1e6)
    with (
        CropCache(model, 0, 1, SIZE, features=True, dtype="float16", folder=tmp_path) as cache,
        pytest.raises(TrainingError, match="cache_dtype to bfloat16 or float32"),
    ):
        list(cache.fill(random_crops(1), 1))


def test_a_full_disk_is_refused_before_it_kills(tiny, tmp_path):
    model = DINOCell.from_pretrained(tiny)
    with pytest.raises(OutputError, match="fewer variants"):
        CropCache(model, 0, 10**9, 2**12, features=True, memory_limit=0, folder=tmp_path)


def test_every_training_begins_anew(tiny, tmp_path):
    model = DINOCell.from_pretrained(tiny)
    model.freeze_backbone()
    with CropCache(model, 0, 4, SIZE, features=True, folder=tmp_path) as cache:
        list(cache.fill(random_crops(4), 4))
        learner = Learner(model, cache, make_config(tmp_path, tmp_path))
        first, _, second = (
            list(learner.learn(numbers)) for numbers in (np.arange(2), np.arange(4), np.arange(2))
        )
    assert first == second


@pytest.mark.parametrize(("target", "features"), [(0, True), (1, False)])
def test_the_map_of_the_other_target_stays_as_it_was(target, features, tiny, tmp_path):
    def drifts(keep):
        """Return by how much both maps change, own and other, the mean over pixels."""
        model = DINOCell.from_pretrained(tiny)
        with torch.no_grad():
            model.decoder.head.weight.mul_(20)  # so that what comes before the head changes the maps
        model.freeze_backbone()
        config = make_config(tmp_path, tmp_path, steps=20, learning_rate=3e-3, keep=keep)
        with CropCache(model, target, 5, SIZE, features=features, folder=tmp_path) as cache:
            list(cache.fill(random_crops(5), 5))
            batch = cache.batch(np.arange(5))
            before = torch.sigmoid(batch.logits(model)).detach()
            torch.testing.assert_close(batch.others[:, 0], before[:, 1 - target], rtol=0, atol=1e-3)
            list(Learner(model, cache, config).learn(np.arange(5)))
            after = torch.sigmoid(batch.logits(model)).detach()
        moved = (after - before).abs().mean(dim=(0, 2, 3)).tolist()
        return moved[target], moved[1 - target]

    own, other = drifts(keep=1.0)
    _, let_go = drifts(keep=0.0)
    assert other < 0.7 * let_go
    assert other < own / 3


@pytest.mark.slow
@pytest.mark.parametrize("learn", ["decoder", "all"])
def test_a_run_scores_images_that_it_did_not_learn_from(learn, folder, tmp_path):
    config = make_config(folder, tmp_path / "out", learn=learn, seed=3)
    events, result = events_of(config)
    assert [event.name for event in events if isinstance(event, ImageRead)] == ["a", "b", "c"]
    assert [event.done for event in events if isinstance(event, CropsDone)] == [2, 4, 6, 8, 9]
    steps = [event for event in events if isinstance(event, FinetuneStep)]
    assert [event.training for event in steps] == [1, 1, 2, 2, 3, 3, 4, 4]
    assert [event.step for event in steps] == list(range(1, 9))
    assert {(event.trainings, event.total) for event in steps} == {(4, 8)}
    assert list(result.before) == list(result.after) == list(result.images) == ["a", "b", "c"]
    assert (result.times is not None) == (learn == "decoder")

    nano, tuned = DINOCell.from_pretrained("nano"), DINOCell.from_pretrained(result.model)
    same = {
        part: all(
            torch.equal(tuned.state_dict()[k], v) for k, v in nano.state_dict().items() if k.startswith(part)
        )
        for part in ("backbone.", "decoder.")
    }
    assert same == {"backbone.": learn == "decoder", "decoder.": False}
    record = tuned.config.training
    assert (record["finetuned_from"], record["images"], record["seed"]) == ("nano", ["a", "b", "c"], 3)
    assert record["earlier_training"] == nano.config.training
    assert record["annotates"] == result.target == "cells"
    (learned, before), (other, kept) = (
        (tuned.config.targets[name], nano.config.targets[name]) for name in ("cells", "nuclei")
    )
    assert other == kept
    assert learned.thresholds == before.thresholds
    assert learned.diameter_range[0] < before.diameter_range[0]
    assert learned.diameter_range[1] == before.diameter_range[1]
    with (config.output / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["image"], row["model"]) for row in rows[3:5]] == [("all", "before"), ("a", "after")]
    assert float(rows[0]["ap50"]) == pytest.approx(result.before["a"].ap[0.5], abs=1e-4)
    assert record["scores"]["before"]["ap50"] == float(rows[3]["ap50"])
    written = config.model_copy(update={"annotates": "cells"})
    assert read_settings(FinetuneConfig, config.output / "config.yaml") == written
    assert sorted(path.name for path in config.output.iterdir()) == ["config.yaml", "model", "scores.csv"]


@pytest.mark.slow
def test_a_blank_decoder_learns_disks_in_a_few_steps(folder, tmp_path):
    model = DINOCell.from_pretrained("nano")
    torch.manual_seed(0)
    model.decoder.head.reset_parameters()
    start = model.save_pretrained(tmp_path / "blank")
    result = finetune(
        make_config(folder, tmp_path / "out", model=str(start), steps=60, variants=16, batch_size=4)
    )
    assert result.helps
    after = [scores.ap[0.5] for scores in result.after.values()]
    assert min(after) > max(scores.ap[0.5] for scores in result.before.values()) + 0.3
    labels = DINOCellPipeline(result.model, device="cpu").run(np.zeros((70, 90))).labels
    assert labels.shape == (70, 90)


@pytest.mark.slow
def test_a_transformer_sees_crops_as_large_as_its_tiles(folder, tiny, tmp_path):
    alone = {"cross_validation": False, "crop_size": None, "steps": 1, "variants": 1}
    for model, size in ((str(tiny), 256), ("nano", 128)):
        output = tmp_path / str(size)
        result = finetune(make_config(folder, output, model=model, **alone))
        record = DINOCell.from_pretrained(result.model).config.training
        assert record["crop_size"] == read_settings(FinetuneConfig, output / "config.yaml").crop_size == size
        assert record["finetuned_from"] == ("nano" if model == "nano" else f"{tiny.parent.name}/tiny")
        assert result.helps is None


def test_one_image_is_learned_from_without_scores(folder, tmp_path):
    images = tmp_path / "one"
    images.mkdir()
    write_disks(images, "x", 0)
    _, result = events_of(make_config(images, tmp_path / "out"))
    assert (result.before, result.after, result.helps) == ({}, {}, None)
    assert DINOCell.from_pretrained(result.model).config.training["scores"] == {}
    assert not (tmp_path / "out" / "scores.csv").exists()


@pytest.mark.slow
def test_unchecked_pixels_count_for_nothing(tmp_path):
    images, results = tmp_path / "images", tmp_path / "results"
    images.mkdir()
    results.mkdir()
    for seed, name in enumerate(("a", "b", "c")):
        labels = write_disks(tmp_path, name, seed)
        (tmp_path / f"{name}_img.png").rename(images / f"{name}.png")
        labels[:, 52:] = 0  # three cells that the person never drew
        if name != "c":
            write_labels(results / f"{name}_labels.tif", labels)
    few = {"corrected": results, "steps": 1}
    whole = events_of(make_config(images, tmp_path / "whole", **few))
    marked = np.zeros((80, 80), np.uint8)
    marked[:, 52:] = 255
    for name in ("a", "b"):
        write_image(results / f"{name}_unchecked.png", marked)
    events, result = events_of(make_config(images, tmp_path / "marked", **few))
    assert [event.name for event in events if isinstance(event, LeftOut)] == ["c"]
    assert [event.repairs.unchecked_share for event in events if isinstance(event, ImageRead)] == [0.35] * 2
    # Nano finds the undrawn cells: errors in `whole`, and not looked at here.
    before = whole[1].before["a"].counts
    assert before.predicted_cells > result.before["a"].counts.predicted_cells
    assert before.true_cells == result.before["a"].counts.true_cells == 6
    losses = [
        [event.loss for event in each if isinstance(event, FinetuneStep)] for each in (whole[0], events)
    ]
    assert losses[0] != losses[1]


@pytest.mark.slow
def test_a_run_that_is_stopped_leaves_no_model(folder, tmp_path):
    config = make_config(folder, tmp_path / "out", cache_memory=0, steps=1, variants=1, folds=2)
    steps = finetune_steps(config)
    next(event for event in steps if isinstance(event, FinetuneStep))
    steps.close()
    assert list(config.output.iterdir()) == []
    finetune(config)
    with pytest.raises(OutputError, match="exists"):
        finetune(config)


def test_a_folder_that_was_removed_is_not_made_again(folder, tmp_path):
    config = make_config(folder, tmp_path / "out", steps=1, variants=1, folds=2)
    steps = finetune_steps(config)
    next(event for event in steps if isinstance(event, FinetuneStep))
    config.output.rename(tmp_path / "moved")
    with pytest.raises(OutputError, match="cannot be written"):
        list(steps)
    assert not config.output.exists()


def test_what_cannot_work_is_refused(folder, tiny, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    write_image(empty / "x_img.png", np.zeros((40, 40), np.uint8))
    write_labels(empty / "x_masks.tif", np.zeros((40, 40), np.int32))
    untrained = DINOCell.from_pretrained(tiny)
    untrained.config = untrained.config.model_copy(update={"trained": False})
    untrained = str(untrained.save_pretrained(tmp_path / "untrained"))
    config = DINOCell.from_pretrained(tiny).config
    of_cells = config.model_copy(update={"targets": {"cells": config.targets["cells"]}})
    of_cells = str(DINOCell(of_cells).save_pretrained(tmp_path / "of_cells"))
    cases = [
        (make_config(empty, tmp_path / "1"), InputError, "no annotated cell"),
        (make_config(folder, tmp_path / "2", crop_size=70), ConfigError, "multiple of 32"),
        (
            make_config(folder, tmp_path / "5", model=of_cells, annotates="nuclei"),
            InputError,
            "the labels are of nuclei, but model .* has a map of cells only",
        ),
        (make_config(folder, tmp_path / "3", model=untrained), UntrainedModelError, "untrained"),
        (
            make_config(folder, tmp_path / "4", model=str(tiny), learning_rate=1e30, steps=9),
            TrainingError,
            "lower learning_rate",
        ),
    ]
    for config, error, message in cases:
        with pytest.raises(error, match=message):
            finetune(config)
        assert not (config.output / "model").exists()
    with pytest.raises(ConfigError, match="leave one out"):
        read_settings(FinetuneConfig, images=folder, masks=folder, corrected=folder, output=tmp_path)


def test_corrected_results_teach_what_segment_outlined(tiny, tmp_path):
    images, results = tmp_path / "images", tmp_path / "results"
    images.mkdir()
    results.mkdir()
    for seed, (name, target) in enumerate((("a", "nuclei"), ("b", "nuclei"), ("c", "cells"))):
        write_labels(results / f"{name}_labels.tif", write_disks(tmp_path, name, seed))
        (tmp_path / f"{name}_img.png").rename(images / f"{name}.png")
        (results / f"{name}_provenance.json").write_text(json.dumps({"result": {"target": target}}))
    few = {"corrected": results, "model": str(tiny), "steps": 1, "variants": 1, "cross_validation": False}
    with pytest.raises(InputError, match="segment outlined nuclei in b and cells in c, expected one target"):
        finetune(make_config(images, tmp_path / "both", **few))
    (results / "c_provenance.json").unlink()
    assert finetune(make_config(images, tmp_path / "nuclei", **few)).target == "nuclei"
    given = finetune(make_config(images, tmp_path / "cells", annotates="cells", **few))
    assert DINOCell.from_pretrained(given.model).config.training["annotates"] == given.target == "cells"


def run_command(*arguments):
    return CliRunner().invoke(app, ["finetune", *(str(argument) for argument in arguments)])


@pytest.mark.slow
def test_the_command_says_what_it_found(folder, tmp_path):
    few = ("--steps", 3, "--variants", 2, "--crop-size", 64, "--batch-size", 1, "--device", "cpu")
    result = run_command(folder, "-o", tmp_path / "out", *few, "--folds", 2, "--learning-rate", 1e-8)
    assert result.exit_code == 0, result.output
    assert "b: 9 cells" in result.output
    assert result.output.count("3 trainings of 3 steps each") == 1
    assert "before" in result.output
    assert "AP@0.5 c" in result.output
    assert "times faster" in result.output
    assert "fine-tuning does not help here: keep the model as it is (--model nano)" in result.output
    result = run_command(folder, "-o", tmp_path / "again", *few, "--no-cross-validation", "--learn", "all")
    assert result.exit_code == 0, result.output
    assert "1 training of 3 steps" in result.output
    assert "was not measured" in result.output
    assert "does not help" not in result.output
    assert "times faster" not in result.output
    assert f"--model {tmp_path / 'again' / 'model'}" in result.output
    result = run_command(folder, "-o", tmp_path / "third", "--learn", "nothing")
    assert isinstance(result.exception, DINOCellError)


@pytest.mark.slow
def test_scores_on_what_it_learned_from_are_called_no_test(folder, tmp_path):
    few = {
        "steps": 1,
        "variants": 1,
        "crop_size": 64,
        "batch_size": 1,
        "cross_validation": False,
        "graph": False,
    }
    model = finetune(FinetuneConfig(images=folder, output=tmp_path / "out", **few)).model
    records = [DINOCell.from_pretrained(of).config.training for of in (model, "nano")]
    assert len({str(record.get("thresholds_chosen_on")) for record in records}) == 1
    result = CliRunner().invoke(app, ["evaluate", "--model", str(model), "--data", str(folder)])
    assert result.exit_code == 0, result.output
    assert (
        f"the model learned from 3 of the 3 images of {folder.name}: this is neither test nor validation"
        in result.output
    )


@pytest.mark.slow
def test_nothing_is_scored_that_a_training_saw_and_the_last_training_is_saved(folder, tmp_path, monkeypatch):
    trainings, scored = [], []
    learn, score = Learner.learn, loop._score

    def recording_learn(self, numbers):
        trainings.append(set(numbers // self.config.variants))
        return learn(self, numbers)

    def recording_score(pipeline, image, target):
        scored.append((len(trainings), image.name))
        return score(pipeline, image, target)

    monkeypatch.setattr(Learner, "learn", recording_learn)
    monkeypatch.setattr(loop, "_score", recording_score)
    few = {"images": folder, "steps": 2, "variants": 2, "crop_size": 64, "batch_size": 1, "graph": False}
    first = finetune(FinetuneConfig(output=tmp_path / "a", **few))
    assert [len(seen) for seen in trainings] == [2, 2, 2, 3]
    after = [(number, name) for number, name in scored if number]
    assert sorted(name for _, name in after) == ["a", "b", "c"]
    for number, name in after:
        assert "abc".index(name) not in trainings[number - 1]
    second = finetune(FinetuneConfig(output=tmp_path / "b", cross_validation=False, **few))
    one, other = (DINOCell.from_pretrained(of.model).state_dict() for of in (first, second))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_an_image_without_a_cell_is_no_partner_to_learn_from(tmp_path):
    write_image(tmp_path / "a_img.png", np.full((64, 64), 30, np.uint8))
    write_labels(tmp_path / "a_masks.tif", np.zeros((64, 64), np.int32))
    labels = np.zeros((64, 64), np.int32)
    labels[disk(labels.shape, (30, 30), 10)] = 1
    write_image(tmp_path / "b_img.png", (labels * 100 + 20).astype(np.uint8))
    write_labels(tmp_path / "b_masks.tif", labels)
    few = {"images": tmp_path, "steps": 1, "variants": 1, "crop_size": 64, "batch_size": 1, "graph": False}
    result = finetune(FinetuneConfig(output=tmp_path / "out", **few))
    assert result.helps is None
    write_image(tmp_path / "c_img.png", (labels * 100 + 20).astype(np.uint8))
    write_labels(tmp_path / "c_masks.tif", labels)
    with pytest.raises(InputError, match="b and c are the same image"):
        finetune(FinetuneConfig(output=tmp_path / "again", **few))


def test_of_a_partly_checked_image_the_checked_part_is_drawn(tmp_path):
    labels = np.full((600, 700), -1, np.int32)
    labels[500:580, 20:120] = 0
    labels[510:530, 40:60] = 1
    gray = np.zeros(labels.shape, np.uint8)
    images = [OwnImage("a", gray, gray, labels, ())]
    crops = list(loop._draw(images, FinetuneConfig(images=tmp_path, output=tmp_path, variants=40), 128))
    assert len(crops) == 40
    assert np.mean([crop.valid.mean() > 0.1 for crop in crops]) > 0.9
    assert any((crop.distance > 0).any() for crop in crops)


def write_scaled(folder, name, factor, seed):
    """Write `write_disks` enlarged, in a TIFF that says its pixels are as much smaller than 1 µm."""
    labels = np.kron(write_disks(folder, name, seed), np.ones((factor, factor), np.int32))
    (folder / f"{name}_img.png").unlink()
    (folder / f"{name}_masks.tif").unlink()
    pixels = (60 + 100 * (labels > 0)).astype(np.uint8)
    tifffile.imwrite(
        folder / f"{name}.ome.tif",
        pixels,
        metadata={"axes": "YX", "PhysicalSizeX": 1 / factor, "PhysicalSizeY": 1 / factor},
    )
    write_labels(folder / f"{name}_masks.tif", labels)
    return labels


def learned(config):
    pipeline = DINOCellPipeline("nano", device="cpu")
    reading = read_images(find_items(config)[0], pipeline, config.model_copy(update={"annotates": "cells"}))
    while True:
        try:
            next(reading)
        except StopIteration as done:
            return {image.name: image for image in done.value}


def test_images_of_several_magnifications_are_learned_from_at_one_scale(tmp_path):
    _, largest = DINOCell.from_pretrained("nano").config.targets["cells"].diameter_range
    labels = {name: write_scaled(tmp_path, name, factor, 0) for name, factor in (("a", 8), ("b", 16))}
    config = make_config(tmp_path, tmp_path / "out", diameter_um=17.0)  # by the drawing, 7 to 10 px in radius
    images = learned(config)
    for name, factor in (("a", 8), ("b", 16)):
        image = images[name]
        assert image.diameter == pytest.approx(17.0 * factor)
        np.testing.assert_array_equal(image.annotation, labels[name])
        assert image.labels.shape == image.gray.shape
        assert len(image.gray) == round(len(labels[name]) * min(1, largest / image.diameter))
        assert set(np.unique(image.labels)) == set(np.unique(labels[name]))
    assert images["a"].gray.shape == pytest.approx(images["b"].gray.shape, abs=1)


@pytest.mark.parametrize("size", [0.125, (0.125, 0.125)])
def test_the_size_of_pixels_is_given_where_a_file_is_silent(tmp_path, caplog, size):
    write_scaled(tmp_path, "a", 8, 0)
    write_disks(tmp_path, "b", 1)
    with pytest.raises(InputError, match=r"b_img\.png does not say its pixel size.*--pixel-size"):
        learned(make_config(tmp_path, tmp_path / "out", diameter_um=17.0))
    images = learned(make_config(tmp_path, tmp_path / "out", diameter_um=17.0, pixel_size_um=size))
    assert images["a"].diameter == images["b"].diameter == pytest.approx(136)
    assert not caplog.records
    images = learned(make_config(tmp_path, tmp_path / "out", diameter_um=17.0, pixel_size_um=0.5))
    assert (images["a"].diameter, images["b"].diameter) == pytest.approx((136, 34))
    assert "a.ome.tif: its pixels are 0.125 µm by the file, but 0.5 µm were given" in caplog.text


def test_without_a_diameter_images_are_learned_from_as_they_are(tmp_path):
    labels = write_scaled(tmp_path, "a", 8, 0)
    image = learned(make_config(tmp_path, tmp_path / "out"))["a"]
    assert image.gray.shape == labels.shape
    assert image.diameter is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"diameter": 20, "diameter_um": 12}, "diameter and diameter_um are both given"),
        ({"pixel_size_um": 0.5}, "pixel_size_um is for diameter_um"),
        ({"diameter_um": 12, "pixel_size_um": -1}, "expected micrometres from"),
        ({"diameter_um": 12, "pixel_size_um": True}, "pixel_size_um is True, expected micrometres"),
        ({"diameter_um": 0}, "greater than 0"),
    ],
)
def test_sizes_that_do_not_go_together_are_refused(tmp_path, changes, message):
    with pytest.raises(ValidationError, match=message):
        make_config(tmp_path, tmp_path / "out", **changes)


@pytest.mark.slow
def test_what_is_learned_at_another_scale_is_scored_and_recorded(tmp_path):
    for seed, name in enumerate("ab"):
        write_scaled(tmp_path, name, 8, seed)
    result = finetune(make_config(tmp_path, tmp_path / "out", diameter_um=17.0, steps=1, variants=1))
    assert set(result.before) == {"a", "b"}
    config = DINOCell.from_pretrained(result.model).config
    assert config.training["diameter_um"] == 17.0
    _, largest = DINOCell.from_pretrained("nano").config.targets["cells"].diameter_range
    assert config.targets["cells"].diameter_range[1] < 1.3 * largest  # not the 136 px of the files
