"""The map put together on a device is the one that the CPU puts together, to the last bit."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dinocell import DINOCellPipeline
from dinocell.inference.engines.device_map import DeviceMap
from dinocell.inference.engines.torch_engine import TorchEngine
from dinocell.tiling import Canvas, blend, cut_tile, plan_tiles
from tests.examples import examples


def darken(tiles):
    """Compute two maps that depend on every pixel and its position in the tile, as a network does."""
    ramp = torch.linspace(0, 1, tiles.shape[-1])
    first = tiles.float() / 255 * ramp + ramp[:, None] / 3
    return torch.stack([first, first.square()], dim=1)


@given(
    shape=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    size=st.integers(2, 32),
    share=st.floats(0, 0.5),
    batch=st.integers(1, 7),
    seed=st.integers(0, 99),
)
@examples(30, 200)
def test_blends_as_the_canvas_does(shape, size, share, batch, seed):
    gray = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    tiles = plan_tiles(shape, size, int(size * share))
    on_device = DeviceMap(gray, tiles, darken, torch.device("cpu"), maps=2)
    for first in range(0, len(tiles), batch):
        on_device.add(tiles[first : first + batch])
    maps = darken(torch.from_numpy(np.stack([cut_tile(gray, tile) for tile in tiles]))).numpy()
    for found, expected in zip(on_device.finish(), (maps[:, 0], maps[:, 1]), strict=True):
        np.testing.assert_allclose(found, blend(tiles, expected, shape), rtol=0, atol=2e-7)


def test_a_failed_batch_leaves_the_map_as_it_was():
    gray = np.full((8, 12), 100, np.uint8)
    tiles = plan_tiles(gray.shape, 8, 4)
    fail = True

    def forward(batch):
        if fail:
            raise torch.OutOfMemoryError("out of memory")
        return batch[:, None].float() / 255

    on_device = DeviceMap(gray, tiles, forward, torch.device("cpu"))
    with pytest.raises(torch.OutOfMemoryError):
        on_device.add(tiles)
    fail = False
    for tile in tiles:
        on_device.add([tile])
    np.testing.assert_allclose(on_device.finish(), 100 / 255, rtol=1e-6)


class Blending(TorchEngine):
    """Puts maps together as on a GPU, on the CPU."""

    def __init__(self, model, settings):
        super().__init__(model, settings)
        self.blends = True


def test_a_pipeline_that_blends_on_its_device_gives_the_same_map():
    image = np.random.default_rng(0).integers(0, 4000, (150, 210)).astype(np.uint16)
    pipeline = DINOCellPipeline("nano", device="cpu", engine="torch", tile_size=96, overlap=16, batch_size=2)
    expected = pipeline.predict_on_full_img(image)
    pipeline.predictor.engine = Blending(pipeline.model, pipeline.settings)
    np.testing.assert_allclose(pipeline.predict_on_full_img(image), expected, rtol=0, atol=1e-6)


def test_a_filled_batch_gives_its_tiles_alone():
    pipeline = DINOCellPipeline("nano", device="cpu", engine="torch")
    engine = pipeline.predictor.engine
    tiles = np.random.default_rng(1).integers(0, 256, (3, 64, 64), np.uint8)
    expected = engine.forward(tiles)
    engine._filled = True
    engine.forward(np.concatenate([tiles, tiles]))
    found = engine.forward(tiles)
    assert found.shape == (3, 2, 64, 64)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_a_pipeline_whose_device_has_no_room_for_the_map_blends_on_the_processor(caplog):
    class Cramped(Blending):
        def open_map(self, gray, tiles, channels):
            raise torch.OutOfMemoryError("out of memory")

    image = np.random.default_rng(0).integers(0, 4000, (150, 210)).astype(np.uint16)
    pipeline = DINOCellPipeline("nano", device="cpu", engine="torch", tile_size=96, overlap=16)
    expected = pipeline.predict_on_full_img(image)
    pipeline.predictor.engine = Cramped(pipeline.model, pipeline.settings)
    with caplog.at_level("INFO", "dinocell"):
        found = pipeline.predict_on_full_img(image)
    np.testing.assert_array_equal(found, expected)
    assert "does not fit on cpu" in caplog.text


def test_a_batch_is_not_filled_up_to_one_that_did_not_fit():
    class Tight(torch.nn.Module):
        def forward(self, x):
            if len(x) > 2:
                raise torch.OutOfMemoryError("out of memory")
            return x[:, :2]

    image = np.random.default_rng(0).integers(0, 256, (64, 320), np.uint8)
    pipeline = DINOCellPipeline("nano", device="cpu", engine="torch", tile_size=64, overlap=0, batch_size=4)
    engine = pipeline.predictor.engine
    engine._filled, engine._network = True, Tight()
    assert pipeline.predict_on_full_img(image).shape == (64, 320)
    assert pipeline.predictor.batch_size == 2


def test_the_canvas_counts():
    canvas = Canvas(plan_tiles((4, 4), 4, 0), (4, 4))
    canvas.add(np.ones((4, 4), np.float32))
    with pytest.raises(ValueError, match="2 predictions for 1 tiles"):
        canvas.add(np.ones((4, 4), np.float32))
