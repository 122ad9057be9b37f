import math

import numpy as np
import pytest
import torch
from torch import nn

from dinocell.errors import DeviceMemoryError, InputError, UntrainedModelError
from dinocell.inference.pipeline import DINOCellPipeline
from dinocell.inference.segment import segment
from dinocell.inference.segmentation import TilesDone
from dinocell.inference.settings import InferenceOptions, InferenceSettings, RunOptions, RunSettings
from dinocell.labels import median_diameter
from dinocell.metrics.matching import match_iou
from dinocell.metrics.overlaps import count_overlaps
from dinocell.models.architecture import DecoderConfig, ResidualConfig
from dinocell.models.configuration import ModelConfig, TargetSettings
from dinocell.models.network.devices import choose_device
from dinocell.models.network.dinocell import DINOCell
from dinocell.postprocess.thresholds import SHORT_NAMES, Thresholds
from dinocell.preprocess.intensity_range import scale_to_uint8
from dinocell.preprocess.resampling import resize
from dinocell.tiling import plan_tiles
from tests.cases import CASES, disk


def tiny(**settings):
    torch.manual_seed(0)
    return DINOCell(
        ModelConfig(
            variant="tiny",
            backbone=ResidualConfig(stem_width=8, widths=(8, 8, 8, 8), depths=(1, 1, 1, 1)),
            decoder=DecoderConfig(widths=(8, 8, 8, 8, 8, 8)),
            trained=True,
            targets={"cells": TargetSettings(**settings)},
        )
    )


@pytest.fixture(scope="module")
def nano():
    return DINOCellPipeline("nano", device="cpu")


def bright_disks(radius=14, count=3, side=200):
    """Draw bright, slightly noisy disks on a dark background; return the image and the labels."""
    labels = np.zeros((side, side), np.int32)
    step = side // count
    for row in range(count):
        for column in range(count):
            centre = (step * row + step // 2, step * column + step // 2)
            labels[disk(labels.shape, centre, radius)] = row * count + column + 1
    noise = np.random.default_rng(0).normal(0, 4, labels.shape)
    return (40 + 120 * (labels > 0) + noise).clip(0, 255).astype(np.uint8), labels


class Identity(DINOCell):
    """Returns the gray value itself as a probability: what goes in must come out."""

    def forward(self, x):
        gray = x[:, :1] * 0.229 + 0.485
        return torch.logit(gray.clamp(1e-6, 1 - 1e-6))


@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (256, 256), (257, 513), (40, 33)])
def test_the_map_of_an_identity_model_is_the_preprocessed_image(shape):
    model = Identity(tiny().config)
    pipeline = DINOCellPipeline(model, device="cpu", clahe=False, batch_size=3)
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    if image.size > 1:
        image.flat[:2] = 0, 255
    distance = pipeline.predict_on_full_img(image)
    expected = scale_to_uint8(image) / 255
    np.testing.assert_allclose(distance, expected, atol=2e-6)
    assert distance.dtype == np.float32


def test_the_network_sees_the_rescaled_image():
    model = Identity(tiny(diameter_range=(20, 40)).config)
    pipeline = DINOCellPipeline(model, device="cpu", clahe=False)
    image = np.random.default_rng(0).integers(0, 256, (96, 300)).astype(np.uint8)
    small = resize(scale_to_uint8(image), (48, 150))
    expected = resize(small.astype(np.float32) / 255, (96, 300))
    np.testing.assert_allclose(pipeline.predict_on_full_img(image, scale=0.5), expected, atol=2e-6)
    seen = []
    found = pipeline.run(image, diameter=80, progress=seen.append)  # 80 px are brought to 40
    assert (found.parameters.scale, seen[-1]) == (0.5, TilesDone(1, 1))
    np.testing.assert_allclose(found.distance_map, expected, atol=2e-6)
    pipeline.run(image, diameter=10, progress=seen.append)  # 10 px to 20: 192 × 600 px, three tiles
    assert seen[-1] == TilesDone(3, 3)


def test_progress_counts_every_tile():
    pipeline = DINOCellPipeline(tiny(), device="cpu", batch_size=2)
    seen = []
    pipeline.run(np.zeros((256, 700), np.uint8), progress=seen.append)
    assert seen == [TilesDone(2, 3), TilesDone(3, 3)]


def test_what_a_callback_raises_ends_the_run():
    class CancelError(Exception):
        pass

    def cancel(done):
        seen.append(done)
        raise CancelError

    seen = []
    pipeline = DINOCellPipeline(tiny(diameter_range=(20, 40)), device="cpu", batch_size=2)
    for diameter in (None, "auto"):
        with pytest.raises(CancelError):
            pipeline.run(np.zeros((256, 700), np.uint8), diameter=diameter, progress=cancel)
    assert seen == [TilesDone(2, 3), TilesDone(1, 1)]  # auto begins with a view


@pytest.mark.parametrize("batch_size", [1, 5])
def test_the_batch_size_does_not_change_the_map(batch_size):
    image = np.random.default_rng(0).integers(0, 256, (300, 500)).astype(np.uint8)
    whole = DINOCellPipeline(tiny(), device="cpu", batch_size=8).predict_on_full_img(image)
    other = DINOCellPipeline(tiny(), device="cpu", batch_size=batch_size).predict_on_full_img(image)
    np.testing.assert_allclose(whole, other, atol=1e-5)


def test_nano_finds_disks_and_changes_nothing_it_is_given(nano):
    image, labels = bright_disks()
    before = image.copy()
    found = nano.run(image)
    assert np.array_equal(image, before)
    assert found.count == 9
    matched = match_iou(count_overlaps(labels, found.labels), 0.5)
    assert len(matched.chosen) == 9
    again = nano.run(image)
    assert np.array_equal(found.labels, again.labels)


@pytest.mark.parametrize(
    "convert",
    [
        lambda image: image.astype(np.uint16) * 200 + 1000,
        lambda image: image.astype(np.float64) / 1e6 - 3,
        lambda image: np.repeat(image[:, :, None], 3, axis=2),
        lambda image: np.dstack([image, image, image, np.full_like(image, 255)]),
        lambda image: image[:, :, None],
    ],
)
def test_dtype_range_and_channels_do_not_matter(nano, convert):
    image, _ = bright_disks()
    found, expected = nano.run(convert(image)), nano.run(image)
    assert found.count == expected.count
    # Rounding to 8 bits may move a value by one, no more.
    assert np.abs(found.distance_map - expected.distance_map).mean() < 0.01


@pytest.mark.parametrize("shape", [(1, 1), (2, 600), (64, 64)])
def test_a_constant_image_has_no_cells(nano, shape):
    found = nano.run(np.full(shape, 7.5))
    assert found.labels.shape == shape
    assert found.labels.dtype == np.int32
    assert found.count == 0


def test_nonfinite_pixels_are_counted_and_taken_as_the_lowest(nano):
    image, _ = bright_disks()
    values = image.astype(np.float32)
    values[0, :5] = np.nan
    values[1, :4] = np.inf
    found = nano.run(values)
    assert found.parameters.nonfinite_pixels == 9
    assert found.count == 9
    values[:150] = np.nan
    with pytest.raises(InputError, match="NaN or infinite"):
        nano.run(values)


@pytest.mark.parametrize("diameter", [None, 60, pytest.param("auto", marks=pytest.mark.slow)])
@pytest.mark.parametrize("value", [0, 255])
def test_constant_margins_change_no_cell(nano, value, diameter):
    image, _ = bright_disks(count=2, side=100)
    alone = nano.run(image, diameter=diameter)
    framed = nano.run(np.pad(image, ((9, 128), (30, 0)), constant_values=value), diameter=diameter)
    assert framed.count == alone.count == 4
    expected = np.pad(alone.distance_map, ((9, 128), (30, 0)))
    np.testing.assert_array_equal(framed.distance_map, expected)


def test_a_frame_of_nan_is_not_counted(nano):
    image = bright_disks()[0].astype(float)
    image[50, 60] = np.nan
    framed = nano.run(np.pad(image, 20, constant_values=np.nan))
    assert framed.parameters.nonfinite_pixels == 1
    np.testing.assert_array_equal(framed.distance_map[20:-20, 20:-20], nano.run(image).distance_map)


def test_overrides_hold_for_one_call_only(nano):
    image, _ = bright_disks()
    usual = nano.run(image)
    strict = nano.run(image, cells_max_threshold=1.0)
    assert strict.count == 0
    assert strict.parameters.thresholds.cells_max_threshold == 1.0
    assert np.array_equal(nano.run(image).labels, usual.labels)
    own = nano.model.config.targets[usual.parameters.target].thresholds
    assert usual.parameters.thresholds == own


def test_one_forward_pass_serves_many_thresholds(nano):
    image, _ = bright_disks()
    found = nano.run_batch_thresholds(image, [0.3, 0.5], [0.1, 0.2, 0.3])
    assert set(found) == {(a, b) for a in (0.3, 0.5) for b in (0.1, 0.2, 0.3)}
    direct = nano.run(image, cells_max_threshold=0.5, cell_fill_threshold=0.2).labels
    assert np.array_equal(found[0.5, 0.2], direct)
    assert not np.array_equal(found[0.5, 0.1], found[0.5, 0.3])


def test_a_perfect_map_becomes_the_true_cells(nano):
    from dinocell.postprocess.distance import labels_to_distance

    perfect = labels_to_distance(CASES["many"])
    found = nano.cells_from_dist_map(perfect, thresholds=Thresholds(cell_fill_threshold=0.02))
    assert found.max() == 324


@pytest.mark.slow
def test_a_diameter_rescales_the_image_and_auto_finds_it(nano):
    image, labels = bright_disks(radius=14)
    low, high = nano.model.config.targets["nuclei"].diameter_range
    for given, brought_to in ((low / 2, low), (high * 1.5, high), (low, low), (high - 1, high - 1)):
        assert nano.predictor.scale_for(given, "nuclei") == pytest.approx(brought_to / given)
    found = nano.run(image, diameter=high * 1.5)
    assert found.labels.shape == image.shape
    assert found.parameters.diameter == high * 1.5
    assert nano.run(image, diameter=np.float32(40)).count == nano.run(image.tolist(), diameter=40).count
    automatic = nano.run(image, diameter="auto")
    assert automatic.parameters.diameter == pytest.approx(median_diameter(labels), rel=0.25)
    assert automatic.count == 9
    empty = nano.run(np.zeros((50, 60)), diameter="auto")
    assert (empty.parameters.diameter, empty.parameters.scale) == (None, 1.0)


@pytest.mark.parametrize("diameter", [0, -3, float("nan"), "big", float("inf"), 0.01])
def test_a_wrong_diameter_is_refused(nano, diameter):
    with pytest.raises(InputError, match="diameter"):
        nano.run(np.zeros((9, 9)), diameter=diameter)


def test_wrong_settings_are_refused():
    with pytest.raises(InputError, match="multiple of 32"):
        DINOCellPipeline(tiny(), tile_size=100)
    for size in (8192, 10**9, -32):
        with pytest.raises(InputError, match=f"tile_size is {size}, .* of 32.* at most 4096"):
            DINOCellPipeline(tiny(), tile_size=size)
    for size in (256.0, "256"):
        with pytest.raises(InputError, match=f"tile_size: expected a whole number, not {size!r}"):
            DINOCellPipeline(tiny(), tile_size=size)
    with pytest.raises(InputError, match=r"overlap: expected a whole number, not 1\.5"):
        DINOCellPipeline(tiny(), overlap=1.5)
    with pytest.raises(InputError, match="overlap is 200"):
        DINOCellPipeline(tiny(), overlap=200)
    with pytest.raises(InputError, match="batch_size"):
        DINOCellPipeline(tiny(), batch_size=0)
    with pytest.raises(InputError, match="device 'cuda:77' cannot be used"):
        choose_device("cuda:77")
    with pytest.raises(InputError, match="merge is 2"):
        DINOCellPipeline(tiny(), device="cpu", merge=2)
    with pytest.raises(InputError, match="does not say which diameters of cells"):
        DINOCellPipeline(tiny(), device="cpu").run(np.zeros((9, 9)), diameter=30)


def test_unknown_options_are_refused(nano):
    with pytest.raises(InputError, match="unknown key 'devise': did you mean 'device'"):
        DINOCellPipeline(tiny(), devise="cpu")
    with pytest.raises(InputError, match="tile_size is not an option of one image"):
        nano.run(np.zeros((9, 9)), tile_size=64)


def test_settings_of_a_pipeline_hold_for_all_images_and_options_for_one():
    model = tiny(thresholds=Thresholds(merge=0.7, cells_max_threshold=0.3))
    settings = InferenceSettings(device="cpu", tile_size=64, min_size=5)
    pipeline = DINOCellPipeline(model, settings=settings, cells_max_threshold=np.float32(0.25), batch_size=2)
    assert (pipeline.settings.min_size, pipeline.settings.overlap, pipeline.settings.batch_size) == (5, 32, 2)
    assert pipeline.settings.thresholds_of["cells"] == Thresholds(merge=0.7, cells_max_threshold=0.25)
    one = pipeline.settings_for(merge=0.6, fill_holes=True)
    assert one.thresholds_of["cells"] == Thresholds(merge=0.6, cells_max_threshold=0.25)
    assert (one.min_size, one.fill_holes, one.tile_size) == (5, True, 64)
    whole = pipeline.settings_for(thresholds=Thresholds(), regrow=True)
    assert whole.thresholds_of["cells"] == Thresholds(regrow=True)
    assert pipeline.run(np.zeros((9, 9)), merge=0.6).parameters.thresholds.merge == 0.6


def test_keywords_are_those_of_the_settings():
    numbers = {*Thresholds.model_fields, *SHORT_NAMES}
    assert set(InferenceOptions.__annotations__) == {*InferenceSettings.model_fields, *numbers}
    assert set(RunOptions.__annotations__) == {*RunSettings.model_fields, *numbers}


def test_results_record_what_decides_about_labels_and_is_not_usual(nano):
    own = {name: found.thresholds.model_dump() for name, found in nano.model.config.targets.items()}
    assert nano.settings.recorded() == {
        "target": "auto", "diameter": "auto", "thresholds": own, "min_size": "auto", "tile_size": 256,
        "overlap": 32,
    }  # fmt: skip
    changed = nano.settings.completed(nano.model.config, fill_holes=True, precision="float32", batch_size=1)
    assert changed.recorded() == nano.settings.recorded() | {"fill_holes": True, "precision": "float32"}


def test_an_untrained_model_is_refused_unless_allowed():
    model = DINOCell(tiny().config.model_copy(update={"trained": False}))
    with pytest.raises(UntrainedModelError, match="untrained decoder"):
        DINOCellPipeline(model)
    pipeline = DINOCellPipeline(model, device="cpu", allow_untrained=True)
    assert pipeline.run(np.zeros((40, 40))).labels.shape == (40, 40)


def test_a_variant_without_trained_weights_is_refused_unless_allowed():
    with pytest.raises(UntrainedModelError, match="no trained weights here"):
        DINOCellPipeline("small")
    pipeline = DINOCellPipeline("convnext-tiny", device="cpu", allow_untrained=True)
    assert pipeline.run(np.zeros((40, 40))).labels.shape == (40, 40)


class Crowded(Identity):
    """Runs out of memory when given more tiles than fit; keeps the number of tiles of every attempt."""

    fits = 4
    message = "CUDA out of memory. Tried to allocate 2.00 GiB"
    error = torch.OutOfMemoryError

    def forward(self, x):
        self.attempts = [*getattr(self, "attempts", []), len(x)]
        if len(x) > self.fits:
            raise self.error(self.message)
        return super().forward(x)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (torch.OutOfMemoryError, "CUDA out of memory. Tried to allocate 2.00 GiB"),
        (RuntimeError, "MPS backend out of memory (MPS allocated: 9.06 GB)"),
        (RuntimeError, "DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."),
    ],
)
def test_a_batch_that_does_not_fit_is_halved_and_that_is_remembered(error, message):
    image = np.random.default_rng(0).integers(0, 255, (150, 200), dtype=np.uint8)
    plain = Identity(tiny().config)
    expected = DINOCellPipeline(plain, device="cpu", tile_size=64).predict_on_full_img(image)
    model = Crowded(tiny().config)
    model.error, model.message = error, message
    pipeline = DINOCellPipeline(model, device="cpu", tile_size=64, overlap=32, batch_size=16)
    assert np.array_equal(pipeline.predict_on_full_img(image), expected)
    assert model.attempts[:3] == [16, 8, 4]
    assert max(model.attempts[2:]) == 4
    assert sum(model.attempts[2:]) == len(plan_tiles(image.shape, 64, 32))  # every tile once
    model.attempts = []
    pipeline.predict_on_full_img(image)
    assert max(model.attempts) == 4


def test_a_last_batch_that_does_not_fit_is_halved_too():
    model = Crowded(tiny().config)
    model.fits = 1
    pipeline = DINOCellPipeline(model, device="cpu", tile_size=64, overlap=0, batch_size=8)
    image = np.random.default_rng(0).integers(0, 255, (64, 192), dtype=np.uint8)
    pipeline.predict_on_full_img(image)
    assert model.attempts == [3, 1, 1, 1]


def test_tiles_of_one_gray_level_are_predicted_once_a_level():
    image = np.zeros((128, 256), np.uint8)
    image[64:, :64] = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    image[:64, 192:] = 200
    options = {"device": "cpu", "tile_size": 64, "overlap": 0}
    expected = DINOCellPipeline(Identity(tiny().config), **options).predictor.engine.forward(image[None])[
        0, 0
    ]
    model = Crowded(tiny().config)
    model.fits = 8
    pipeline = DINOCellPipeline(model, **options, batch_size=3)
    found = pipeline.predict_on_full_img(image, preprocessed=True)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert sum(model.attempts) == 3  # one of 0, one of 200, one of noise; of eight tiles


def test_a_tile_that_does_not_fit_says_what_to_do():
    model = Crowded(tiny().config)
    model.fits = 0
    with pytest.raises(DeviceMemoryError, match="one tile of 64 px: choose a smaller tile_size"):
        DINOCellPipeline(model, device="cpu", tile_size=64).run(np.zeros((100, 100), np.uint8))


def test_other_errors_of_the_network_are_not_taken_for_a_lack_of_memory():
    model = Crowded(tiny().config)
    model.error, model.message, model.fits = RuntimeError, "expected scalar type Half but found Float", 0
    with pytest.raises(RuntimeError, match="scalar type"):
        DINOCellPipeline(model, device="cpu").run(np.zeros((100, 100), np.uint8))
    assert model.attempts == [1]


def test_segment_is_the_pipeline_in_one_call(nano):
    image, _ = bright_disks()
    assert np.array_equal(segment(image, min_size=50).labels, nano.run(image, min_size=50).labels)


def test_no_module_of_a_pipeline_is_in_train_mode():
    model = tiny().train()
    pipeline = DINOCellPipeline(model, device="cpu")
    assert not any(module.training for module in pipeline.model.modules() if isinstance(module, nn.Module))


@pytest.mark.parametrize("image", [np.zeros(5), np.float32(1), None])
@pytest.mark.parametrize("options", [{}, {"preset": {"model": "nano", "channel": 0, "thresholds": {}}}])
def test_what_is_not_an_image_is_refused(image, options):
    with pytest.raises(InputError, match="expected"):
        DINOCellPipeline("nano", device="cpu").run(image, **options)


@pytest.mark.parametrize("diameter", [0, -3.0, math.nan, math.inf, "x"])
def test_a_diameter_that_is_not_one_has_no_scale(diameter):
    with pytest.raises(InputError, match="expected pixels above 0"):
        DINOCellPipeline("nano", device="cpu").predictor.scale_for(diameter, "cells")


def test_the_smallest_size_is_a_part_of_the_median_cell_and_recorded(nano):
    image = np.full((120, 160), 40, np.uint8)
    for centre, radius in [((30, 30), 14), ((30, 110), 14), ((90, 30), 14), ((90, 120), 3)]:
        image[disk(image.shape, centre, radius)] = 170
    every = nano.run(image, target="cells", min_size=0)
    areas = np.bincount(every.labels.ravel())[1:]
    least = math.ceil(np.median(areas) / 10)
    assert (areas < least).sum() == 1
    found = nano.run(image, target="cells")
    assert (found.count, found.parameters.min_size, found.parameters.removed) == (3, least, 1)
    recorded = found.parameters.recorded()
    assert (recorded["min_size"], recorded["min_size_found"], recorded["removed"]) == ("auto", least, 1)
    assert every.parameters.removed == 0
    assert np.array_equal(found.labels, nano.cells_from_dist_map(found.distance_map, target="cells"))
    assert np.array_equal(found.labels, nano.run(image, target="cells", min_size=least).labels)


@pytest.mark.parametrize("wrong", [-1, "-1", "little", "1.5", None])
def test_a_smallest_size_is_a_number_or_auto(nano, wrong):
    with pytest.raises(InputError, match="min_size"):
        nano.settings_for(min_size=wrong)


def test_a_smallest_size_that_was_computed_is_taken_and_half_a_pixel_is_not():
    pipeline = DINOCellPipeline("nano", device="cpu")
    assert pipeline.settings_for(min_size=np.float64(60)) == pipeline.settings_for(min_size=60)
    with pytest.raises(InputError, match=r"min_size: expected a whole number, not 12\.5"):
        pipeline.settings_for(min_size=12.5)
