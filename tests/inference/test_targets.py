"""The choice between targets: the rule, and the pipeline that follows it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dinocell.errors import InputError
from dinocell.inference.overview import look_over
from dinocell.inference.pipeline import DINOCellPipeline
from dinocell.inference.settings import InferenceSettings, TargetChoice, option_of
from dinocell.inference.targets import choose_target, coloured_share, weigh_maps
from dinocell.labels import TARGETS
from dinocell.models.architecture import DecoderConfig, ResidualConfig
from dinocell.models.configuration import ModelConfig, TargetSettings
from dinocell.models.network.dinocell import DINOCell
from dinocell.postprocess.distance import labels_to_distance
from dinocell.postprocess.thresholds import Thresholds
from tests.cases import CASES

NUCLEI = Thresholds(cells_max_threshold=0.4, cell_fill_threshold=0.2)


def config(**settings):
    targets = {"cells": TargetSettings(), "nuclei": TargetSettings(thresholds=NUCLEI)}
    return ModelConfig(
        variant="two",
        backbone=ResidualConfig(stem_width=8, widths=(8, 8, 8, 8), depths=(1, 1, 1, 1)),
        decoder=DecoderConfig(widths=(8, 8, 8, 8, 8, 8)),
        trained=True,
        **{"targets": targets} | settings,
    )


class TwoMaps(DINOCell):
    """Takes gray values for one map, and a share of them for the other; counts its forward passes."""

    clear, share, tiles = 1, 0.5, 0

    def forward(self, x):
        self.tiles += len(x)
        gray = x[:, :1] * 0.229 + 0.485
        maps = [gray * self.share, gray * self.share]
        maps[self.clear] = gray
        return torch.logit(torch.cat(maps, dim=1).clamp(1e-6, 1 - 1e-6))


def pipeline_of(clear="nuclei", **options):
    model = TwoMaps(config())
    model.clear = TARGETS.index(clear)
    return DINOCellPipeline(model, device="cpu", clahe=False, **options)


def image(shape=(120, 200)):
    return (255 * np.resize(labels_to_distance(CASES["many"]), shape)).astype(np.uint8)


def test_the_choices_are_the_targets_and_auto():
    assert set(TargetChoice.__args__) == {"auto", *TARGETS}
    assert option_of("target").record == "always"


pair = hnp.arrays(np.float32, (2, 5, 7), elements=st.floats(0, 1, width=32))
grays = hnp.arrays(np.uint8, (5, 7))


def weighed(maps, gray, coloured=0.0):
    return weigh_maps(dict(zip(TARGETS, maps, strict=True)), gray, coloured)


@given(pair, grays, pair, grays)
def test_evidence_adds_up(first, gray, second, other):
    together = weighed(np.concatenate([first, second], axis=1), np.concatenate([gray, other]))
    np.testing.assert_allclose(weighed(first, gray) + weighed(second, other), together, rtol=1e-5, atol=1e-6)


@given(pair, grays)
def test_the_choice_does_not_depend_on_the_order_of_pixels(maps, gray):
    turned = weighed(maps[:, ::-1, ::-1], gray[::-1, ::-1])
    np.testing.assert_allclose(turned, weighed(maps, gray), rtol=1e-5, atol=1e-6)


def hills():
    """Draw nuclei in the middle of cells that reach twice as far; return the maps of both."""
    y, x = np.mgrid[:96, :96]
    away = np.hypot(y % 32 - 16, x % 32 - 16)
    return np.stack([np.clip(1 - away / 14, 0, 1), np.clip(1 - away / 7, 0, 1)]).astype(np.float32)


def test_images_of_every_kind():
    cells, nuclei = hills()
    stained = (20 + 200 * nuclei).astype(np.uint8)
    assert choose_target(weighed([nuclei, nuclei], stained), TARGETS) == "nuclei"
    assert choose_target(weighed([cells, nuclei], (20 + 200 * cells).astype(np.uint8)), TARGETS) == "cells"
    assert choose_target(weighed([cells, nuclei], 255 - stained, coloured=0.9), TARGETS) == "nuclei"
    assert choose_target(weighed([cells, nuclei], 255 - stained), TARGETS) == "cells"
    noise = np.random.default_rng(0).integers(0, 256, stained.shape, np.uint8)
    assert choose_target(weighed([nuclei, nuclei], noise), TARGETS) == "cells"
    assert choose_target(weighed([0 * cells, 0 * cells], stained), TARGETS[::-1]) == "nuclei"


def test_the_share_in_colour():
    image = np.full((4, 5, 3), 40000, np.uint16)
    assert coloured_share(image) == coloured_share(image[..., 0]) == coloured_share(image[..., :1]) == 0
    image[:2, :, 0] = 10000
    assert coloured_share(image) == 0.5
    assert coloured_share(np.dstack([image, image[..., 0]])) == 0.5  # with alpha
    assert coloured_share(image / 65535) == 0.5
    assert coloured_share(0 * image) == coloured_share(np.full((3, 3, 3), np.nan)) == 0


@pytest.mark.parametrize("clear", TARGETS)
def test_the_clear_map_is_taken_with_its_thresholds_after_one_pass(clear):
    pipeline, pixels = pipeline_of(clear), image()
    found = pipeline.run(pixels)
    assert found.parameters.target == clear
    assert found.parameters.thresholds == pipeline.model.config.targets[clear].thresholds
    assert pipeline.model.tiles == 1
    given_target = pipeline.run(pixels, target=clear)
    np.testing.assert_array_equal(found.labels, given_target.labels)
    np.testing.assert_array_equal(found.distance_map, given_target.distance_map)
    assert found.distance_map.shape == pixels.shape


def test_a_given_target_is_not_chosen_and_holds_for_one_call():
    pipeline, pixels = pipeline_of("nuclei"), image()
    cells = pipeline.run(pixels, target="cells")
    assert cells.parameters.target == "cells"
    np.testing.assert_allclose(cells.distance_map, pipeline.run(pixels).distance_map / 2, atol=1e-5)
    assert pipeline.settings.target == "auto"
    assert pipeline_of("nuclei", target="cells").run(pixels).parameters.target == "cells"


def test_an_image_without_cells_has_the_first_target():
    found = pipeline_of().run(np.zeros((40, 50)))
    assert (found.parameters.target, found.count) == ("cells", 0)


def test_the_scale_is_that_of_the_target():
    ranges = {"cells": (40, 80), "nuclei": (10, 20)}
    targets = {name: TargetSettings(diameter_range=ranges[name]) for name in TARGETS}
    for clear, scale in (("cells", 1.0), ("nuclei", 0.5)):
        model = TwoMaps(config(targets=targets))
        model.clear = TARGETS.index(clear)
        pipeline = DINOCellPipeline(model, device="cpu")
        pixels = image()
        found = pipeline.run(pixels, diameter=40)
        assert (found.parameters.target, found.parameters.scale) == (clear, scale)
        again = pipeline.run(pixels, diameter=40, target=clear)
        np.testing.assert_array_equal(found.distance_map, again.distance_map)
        gray = pipeline.prepare(pixels, settings := pipeline.settings_for(diameter=40))
        ahead = pipeline.predict(pixels, settings, gray=gray)
        np.testing.assert_array_equal(found.distance_map, ahead.distance_map)


def test_auto_diameter_searches_with_the_chosen_target():
    found = pipeline_of().run(image(), diameter="auto")
    assert found.parameters.target == "nuclei"


def test_functions_of_one_map_give_that_of_the_target():
    pipeline, pixels = pipeline_of(), image()
    run = pipeline.run(pixels)
    np.testing.assert_array_equal(pipeline.predict_on_full_img(pixels), run.distance_map)
    cells = pipeline.predict_on_full_img(pixels, target="cells")
    np.testing.assert_array_equal(cells, pipeline.run(pixels, target="cells").distance_map)
    labels = pipeline.cells_from_dist_map(run.distance_map, target="nuclei")
    np.testing.assert_array_equal(labels, run.labels)
    pair = (NUCLEI.cells_max_threshold, NUCLEI.cell_fill_threshold)
    np.testing.assert_array_equal(pipeline.run_batch_thresholds(pixels, pair[:1], pair[1:])[pair], run.labels)
    other = pipeline.run_batch_thresholds(pixels, pair[:1], pair[1:], target="cells")[pair]
    expected = pipeline.cells_from_dist_map(
        cells, target="cells", cells_max_threshold=pair[0], cell_fill_threshold=pair[1]
    )
    np.testing.assert_array_equal(other, expected)


def test_single_numbers_of_thresholds_hold_for_both_targets():
    settings = pipeline_of(merge=0.7).settings_for(cell_fill_threshold=0.3)
    assert settings.thresholds_of == {
        "cells": Thresholds(merge=0.7, cell_fill_threshold=0.3),
        "nuclei": NUCLEI.model_copy(update={"merge": 0.7, "cell_fill_threshold": 0.3}),
    }
    assert set(settings.recorded()["thresholds"]) == set(TARGETS)
    one = settings.completed(config(), target="nuclei")
    assert one.recorded()["thresholds"] == one.thresholds_of["nuclei"].model_dump()
    assert (settings.recorded()["target"], one.recorded()["target"]) == ("auto", "nuclei")


def test_a_target_that_the_model_lacks_is_refused():
    only = config(targets={"nuclei": TargetSettings()})
    assert InferenceSettings().completed(only).target == "nuclei"
    with pytest.raises(InputError, match="target is 'cells', but model 'two' was trained for nuclei only"):
        InferenceSettings().completed(only, target="cells")
    with pytest.raises(InputError, match="target: expected 'auto', 'cells' or 'nuclei', not 'mitochondria'"):
        InferenceSettings().completed(only, target="mitochondria")


def test_evidence_is_kept_where_there_was_a_choice():
    pipeline, pixels = pipeline_of(), image()
    seen = look_over(pipeline.predictor, pixels, pipeline.settings)
    assert seen.evidence[0] == pixels.size
    given_target = pipeline.settings_for(target="cells")
    seen = look_over(pipeline.predictor, pixels, given_target)
    assert (seen.target, seen.evidence, seen.distance_map) == ("cells", None, None)
