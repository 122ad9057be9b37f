"""Batches on the device as a whole: what is drawn, that it fits together, and that training takes them."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from dinocell.models.network.dinocell import DINOCell
from dinocell.preprocess.preprocessing import Preprocessing, preprocess
from dinocell.training import train, training_steps
from dinocell.training.annotated import Annotated, annotate
from dinocell.training.augmentation import NO_AUGMENTATION, Augmentation
from dinocell.training.on_device.draws import draw_batch, population_of
from dinocell.training.on_device.samples import DeviceSamples
from dinocell.training.samples import TrainingSamples
from dinocell.training.sources import open_samples
from tests.cases import disk
from tests.fakes.training import disks, make_config, rows_of

CPU = torch.device("cpu")
PLAIN = Preprocessing(clahe=False)
EVERYTHING = Augmentation(
    rotate=1, stretch=1.3, contrast=(0.7, 1.3), gamma=(0.7, 1.4), blur=1.5, noise=8, brightness=(0.7, 1.3),
    diameter=(8, 40), no_clahe=0.5, border=0.5, empty=0.2, gray_mix=0.5, histogram=0.5, fourier=0.5,
)  # fmt: skip


def field(seed, *, colour=False, preprocessing=PLAIN, shape=(110, 130)):
    """Draw an image of bright disks on an uneven background, which tells the place of every pixel."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    for number in range(1, 6):
        labels[disk(shape, rng.uniform(10, 100, 2), rng.uniform(6, 14))] = number
    image = ndimage.gaussian_filter(rng.uniform(0, 255, shape), 4) + 60 * (labels > 0)
    image = image if not colour else np.stack([image, image * 0.7, 255 - image], axis=2)
    return annotate(f"{seed}", image.clip(0, 255).astype(np.uint8), labels, preprocessing)


def samples_of(tmp_path, chosen, datasets=None, preprocessing=PLAIN, **values):
    datasets = datasets or [[field(1), field(2)], [field(3, colour=True)]]
    data = [{"path": tmp_path, "annotates": "nuclei" if n else "cells"} for n in range(len(datasets))]
    settings = {"train": data, "batch_size": 6, "crop_size": 64} | values
    config = make_config(tmp_path, tmp_path / "run", **settings)
    config = config.model_copy(update={"augmentation": chosen, "preprocessing": preprocessing})
    return DeviceSamples(datasets, config, CPU)


def batch_of(samples, step=0, **processes):
    (batch,) = next(samples.steps(step, step + 1, **processes))
    return batch


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


# ---------------------------------------------------------------- what is drawn


def test_draws_are_distributed_as_settings_say():
    population = population_of(
        [(100, 100)] * 3 + [(200, 200), (50, 400)], [10, 20, np.nan, 40, 40], [3, 2], np.array([0.25, 0.75])
    )
    draws = draw_batch(population, 4000, 64, EVERYTHING, Preprocessing(), np.random.default_rng(0))
    datasets = population.datasets[draws.images]
    assert datasets.mean() == pytest.approx(0.75, abs=0.03)
    assert (population.datasets[draws.others] != datasets).all()
    assert set(draws.others) == set(range(5))
    assert np.bincount(draws.images)[:3] / 4000 == pytest.approx(0.25 / 3, abs=0.02)
    sized = draws.zooms * population.diameters[draws.images]
    assert np.nanmin(sized) >= 8 * 0.8
    assert np.nanmax(sized) <= 40 * 1.2
    assert (draws.zooms[draws.images == 2] <= 1.2).all()  # without a cell, scale alone
    for name, probability in {"mixed": 0.5, "plain": 0.5, "invert": 0.5}.items():
        assert getattr(draws, name).mean() == pytest.approx(probability, abs=0.04)
    for name, probability in {"histogram": 0.5, "fourier": 0.5, "blur": 0.5, "noise": 0.5}.items():
        assert (getattr(draws, name) > 0).mean() == pytest.approx(probability, abs=0.04)
    assert (draws.empty >= 0).mean() == pytest.approx(0.2, abs=0.03)
    assert len(draws.borders) / 4000 == pytest.approx(0.5, abs=0.03)


def test_crops_stay_in_the_image_where_they_fit():
    population = population_of([(100, 140)], [10], [1], np.ones(1))
    plain = NO_AUGMENTATION.model_copy(update={"scale": (0.8, 1.2), "flip": 0.5})
    draws = draw_batch(population, 500, 64, plain, PLAIN, np.random.default_rng(0))
    corners = np.array([[-0.5, -0.5, 1], [63.5, 63.5, 1]]).T
    there = draws.inverse @ corners
    assert there.min() >= -1.01  # by at most half a pixel, as crops lie on the pixel grid
    assert (there.max(axis=(0, 2)) <= np.array([140, 100]) + 0.01).all()


def test_a_part_of_the_draws_is_that_part_of_the_batch():
    population = population_of([(100, 140)] * 2, [10, 10], [1, 1], np.ones(2))
    draws = draw_batch(population, 12, 64, EVERYTHING, PLAIN, np.random.default_rng(0))
    part = draws.part(slice(4, 8))
    assert np.array_equal(part.zooms, draws.zooms[4:8])
    assert part.borders == {n - 4: border for n, border in draws.borders.items() if 4 <= n < 8}


# ---------------------------------------------------------------- what is computed


def test_a_plain_crop_is_a_part_of_an_image_with_its_target(tmp_path):
    datasets = [[field(1), field(2)], [field(3)]]
    samples = samples_of(tmp_path, NO_AUGMENTATION, datasets)
    items = [item for dataset in datasets for item in dataset]
    draws = samples.draws(0)
    images, distance, valid, target = batch_of(samples)
    assert images.dtype == torch.uint8
    assert distance.dtype == torch.float32
    assert valid.all()
    for number, chosen in enumerate(draws.images):
        left, top = draws.inverse[number, :, 2].astype(int)
        part = np.s_[top : top + 64, left : left + 64]
        assert np.array_equal(images[number], items[chosen].image[part])
        assert np.array_equal(distance[number] > 0, items[chosen].labels[part] > 0)
        assert target[number] == (chosen == 2)
    assert samples.names(0) == sorted({items[chosen].name for chosen in draws.images})


@pytest.mark.parametrize("zoom", [0.5, 1.0, 2.0])
def test_a_zoomed_crop_is_what_inference_sees_up_to_the_phase_of_the_windows(tmp_path, zoom):
    pixels = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((400, 400)), 6)
    item = annotate("a", pixels, np.ones((400, 400), np.int32), Preprocessing())
    chosen = NO_AUGMENTATION.model_copy(update={"scale": (zoom, zoom)})
    samples = samples_of(tmp_path, chosen, [[item]], Preprocessing(), batch_size=3)
    whole = preprocess(pixels, scale=zoom)
    draws, (images, *_) = samples.draws(0), batch_of(samples)
    for image, inverse in zip(images.numpy(), draws.inverse, strict=True):
        left, top = np.rint((inverse[:, 2] + 0.5) * zoom - 0.5).astype(int)
        left, top = np.clip([left, top], 0, len(whole) - 64)
        there = whole[top : top + 64, left : left + 64]
        assert np.corrcoef(image.ravel(), there.ravel())[0, 1] > 0.93


def test_image_and_target_stay_aligned_under_all_changes(tmp_path):
    shape = (160, 160)
    labels = np.zeros(shape, np.int32)
    for number, centre in enumerate([(40, 40), (40, 110), (110, 40), (110, 110)], 1):
        labels[disk(shape, centre, 20)] = number
    item = annotate("a", (labels > 0) * np.uint8(255), labels, PLAIN)
    geometry = Augmentation(rotate=1, scale=(0.5, 2), stretch=1.3, brightness=(1, 1), invert=0)
    images, distance, *_ = batch_of(samples_of(tmp_path, geometry, [[item]], batch_size=16))
    assert ((images >= 128) == (distance > 0)).float().mean() > 0.98


def test_borders_and_empty_tiles_have_no_cells(tmp_path):
    chosen = NO_AUGMENTATION.model_copy(update={"border": 1.0})
    images, distance, valid, _ = batch_of(samples_of(tmp_path, chosen))
    plain, whole, *_ = batch_of(samples_of(tmp_path, NO_AUGMENTATION))
    for crop, before, found, full in zip(images, plain, distance, whole, strict=True):
        covered = crop != before
        assert len(crop[covered].unique()) <= 1
        assert not found[covered].any()
        assert torch.equal(found[~covered & (found > 0)], full[~covered & (found > 0)])
    assert (distance < whole).any()
    assert valid.all()
    chosen = NO_AUGMENTATION.model_copy(update={"empty": 1.0})
    images, distance, *_ = batch_of(samples_of(tmp_path, chosen))
    assert not distance.any()
    assert (images.float().std(dim=(1, 2)) > 10).all()


def test_styles_and_mixes_change_what_is_seen_only(tmp_path):
    plain = batch_of(samples_of(tmp_path, NO_AUGMENTATION))
    for name in ("histogram", "fourier"):
        images, *target = batch_of(samples_of(tmp_path, NO_AUGMENTATION.model_copy(update={name: 1.0})))
        assert (images != plain[0]).flatten(1).any(dim=1).all()
        assert same(target, plain[1:])
    coloured = [[field(4, colour=True)]]
    alone = batch_of(samples_of(tmp_path, NO_AUGMENTATION, coloured))
    chosen = NO_AUGMENTATION.model_copy(update={"gray_mix": 1.0})
    images, *target = batch_of(samples_of(tmp_path, chosen, coloured))
    assert (images != alone[0]).flatten(1).any(dim=1).all()
    assert same(target, alone[1:])
    assert same(
        batch_of(samples_of(tmp_path, chosen, [[field(1)]])),
        batch_of(samples_of(tmp_path, NO_AUGMENTATION, [[field(1)]])),
    )


@pytest.mark.parametrize("preprocessing", [PLAIN, Preprocessing()])
def test_a_batch_is_the_same_whenever_it_is_drawn(tmp_path, preprocessing):
    datasets = [[field(1, preprocessing=preprocessing)], [field(3, colour=True, preprocessing=preprocessing)]]
    samples = samples_of(tmp_path, EVERYTHING, datasets, preprocessing)
    batches = [batch for step in samples.steps(0, 3) for batch in step]
    again = samples_of(tmp_path, EVERYTHING, datasets, preprocessing)
    assert same(batch_of(again, 2), batches[2])
    assert same(batch_of(again, 0), batches[0])
    assert not torch.equal(batches[0][0], batches[1][0])
    for images, distance, valid, _ in batches:
        assert images.shape == distance.shape == valid.shape == (6, 64, 64)
        assert distance.min() >= 0
        assert distance.max() <= 1


def test_processes_share_a_batch(tmp_path):
    chosen = EVERYTHING.model_copy(update={"noise": 0.0})
    samples = samples_of(tmp_path, chosen)
    whole = batch_of(samples, 1)
    parts = [batch_of(samples, 1, process=process, processes=2) for process in range(2)]
    joined = [torch.cat(each) for each in zip(*parts, strict=True)]
    assert all(torch.equal(a, b) for a, b in zip(joined[1:], whole[1:], strict=True))
    # Sums in another order may round another way.
    assert (joined[0].int() - whole[0].int()).abs().max() <= 1


def test_a_store_without_what_was_before_clahe_serves_as_it_is(tmp_path):
    known = field(1)
    item = Annotated("a", known.image, known.labels, preprocessing=Preprocessing())
    chosen = NO_AUGMENTATION.model_copy(update={"no_clahe": 0.5, "gray_mix": 1.0})
    images, *_ = batch_of(samples_of(tmp_path, chosen, [[item]], Preprocessing()))
    plain, *_ = batch_of(samples_of(tmp_path, NO_AUGMENTATION, [[known]]))
    assert torch.equal(images, plain)


# ---------------------------------------------------------------- in training


def test_data_lie_where_the_setting_says(tmp_path):
    datasets = [[field(1)]]
    for where, kind in (("auto", TrainingSamples), ("cpu", TrainingSamples), ("device", DeviceSamples)):
        config = make_config(tmp_path, tmp_path / "run", data_on=where)
        assert type(open_samples(datasets, config, CPU)) is kind


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_training_learns_from_crops_of_the_device_and_resumes_exactly(tmp_path):
    torch.set_num_threads(1)
    folder = disks(tmp_path / "disks")
    train(make_config(folder, tmp_path / "whole", data_on="device", augmentation=EVERYTHING.model_dump()))
    config = make_config(folder, tmp_path / "broken", data_on="device", augmentation=EVERYTHING.model_dump())
    next(event for event in training_steps(config) if not hasattr(event, "total_steps"))  # killed
    train(config, resume=True)
    assert rows_of(tmp_path / "broken") == rows_of(tmp_path / "whole")
    one, other = (
        DINOCell.from_pretrained(tmp_path / name / "last").state_dict() for name in ("whole", "broken")
    )
    assert all(torch.equal(one[key], other[key]) for key in one)
