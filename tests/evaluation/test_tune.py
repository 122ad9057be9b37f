from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from dinocell.datasets.folder import find_items
from dinocell.errors import FileFormatError, InputError
from dinocell.evaluation.tuning import Choice, MapDone, _best, _cross_validate, tune
from dinocell.inference.pipeline import DINOCellPipeline
from dinocell.io.images import read_image, read_labels
from dinocell.io.saving import write_image, write_labels
from dinocell.postprocess.thresholds import Thresholds
from tests.cases import disk

SAMPLES = Path(__file__).parents[2] / "samples"


def disks(folder, name, *, radius=13, seed=0, colour=False):
    """Draw bright disks; in colour they show in the third channel alone."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((96, 96), np.int32)
    for number, (row, column) in enumerate([(r, c) for r in (16, 48, 80) for c in (16, 48, 80)], start=1):
        labels[disk(labels.shape, (row, column), radius)] = number
    gray = (40 + 120 * (labels > 0) + rng.normal(0, 4, labels.shape)).clip(0, 255).astype(np.uint8)
    if colour:
        noise = rng.integers(0, 255, (2, *labels.shape), dtype=np.uint8)
        gray = np.stack([noise[0], noise[1], gray], axis=-1)
    write_image(folder / f"{name}_img.png", gray)
    write_labels(folder / f"{name}_masks.tif", labels)


def halved_sample(folder):
    """Write the two halves of a sample image at half its size: nuclei smaller than nano is best at."""
    image = read_image(SAMPLES / "fluorescence_1_img.png").pixels
    labels = read_labels(SAMPLES / "fluorescence_1_masks.png")
    image = cv2.resize(image, (128, 128), interpolation=cv2.INTER_AREA)
    labels = cv2.resize(labels, (128, 128), interpolation=cv2.INTER_NEAREST_EXACT)
    for number, part in enumerate((np.s_[:, :64], np.s_[:, 64:])):
        write_image(folder / f"{number}_img.png", image[part])
        write_labels(folder / f"{number}_masks.tif", labels[part])


@pytest.fixture(scope="module")
def nano():
    return DINOCellPipeline("nano", device="cpu")


def result_of(nano, folder):
    *progress, result = tune(nano, find_items(folder))
    assert all(isinstance(event, MapDone) for event in progress)
    assert progress[-1].done == progress[-1].total
    return result


@pytest.mark.slow
def test_a_mask_of_one_value_is_refused_or_split_and_said(nano, tmp_path):
    disks(tmp_path, "a")
    masks = read_labels(tmp_path / "a_masks.tif")
    write_labels(tmp_path / "a_masks.tif", masks > 0)
    with pytest.raises(FileFormatError, match="1 id in 9 pieces"):
        result_of(nano, tmp_path)
    *_, split = tune(nano, find_items(tmp_path, split_components=True))
    assert split.notes == (f"{tmp_path / 'a_masks.tif'}: 1 id in 9 pieces, each a cell now",)
    write_labels(tmp_path / "a_masks.tif", masks)
    assert split.after == result_of(nano, tmp_path).after


@pytest.mark.slow
def test_small_cells_get_a_diameter_that_enlarges_them(nano, tmp_path):
    halved_sample(tmp_path)
    result = result_of(nano, tmp_path)
    assert result.best.channel is None
    assert result.best.scale > 1
    assert nano.predictor.scale_for(result.diameter, result.best.target) == pytest.approx(
        result.best.scale, rel=0.01
    )
    assert result.after.ap[0.5] > result.before.ap[0.5] + 0.1
    assert result.cross_validated.ap[0.5] > result.before.ap[0.5]
    assert result.cross_validated.counts.images == 2


@pytest.mark.slow
def test_the_channel_with_the_cells_is_found(nano, tmp_path):
    disks(tmp_path, "im", colour=True)
    result = result_of(nano, tmp_path)
    assert result.best.channel == 2
    assert result.after.ap[0.5] == 1
    assert result.cross_validated is None  # a single image leaves nothing to check on


def test_images_without_cells_or_of_other_channels_are_refused(nano, tmp_path):
    write_image(tmp_path / "a_img.png", np.zeros((20, 20), np.uint8))
    write_labels(tmp_path / "a_masks.tif", np.zeros((20, 20), np.int32))
    with pytest.raises(InputError, match="no image has an annotated cell"):
        list(tune(nano, find_items(tmp_path)))
    tifffile.imwrite(tmp_path / "b_img.tif", np.zeros((2, 20, 20), np.uint8), metadata={"axes": "CYX"})
    write_labels(tmp_path / "b_masks.tif", np.eye(20, dtype=np.int32))
    with pytest.raises(InputError, match=r"\[1, 2\] channels"):
        list(tune(nano, find_items(tmp_path)))


def test_cross_validation_scores_each_image_with_what_the_others_chose():
    # Two settings, three images. Setting 0 is best on images 1 and 2, setting 1 on image 0 by far:
    # leaving out 0 chooses setting 0 (scored 0.0 on image 0); leaving out 1 or 2 chooses setting 1.
    from dinocell.metrics.pooling import pool
    from dinocell.metrics.scores import evaluate

    hit, miss = np.array([[1, 1, 0, 0]]), np.array([[0, 0, 0, 1]])
    good, bad = evaluate(hit, hit), evaluate(hit, miss)
    three = pool([good, good, good])
    first, second = (Choice(None, scale, "cells", Thresholds()) for scale in (1.0, 2.0))
    tried = {first: [bad, good, good], second: [three, bad, bad]}
    assert _best(tried, [1, 2]) == first
    assert _best(tried, [0, 1]) == second
    assert _cross_validate(tried, 3) == pool([bad, bad, bad])
    assert _cross_validate({first: [good]}, 1) is None


def test_an_image_without_cells_prefers_what_finds_none():
    from dinocell.metrics.scores import evaluate

    nothing, something = np.array([[0, 0]]), np.array([[0, 1]])
    clean, spurious = evaluate(nothing, nothing), evaluate(nothing, something)
    first, second = (Choice(None, scale, "cells", Thresholds()) for scale in (1.0, 2.0))
    assert _best({first: [spurious], second: [clean]}, [0]) == second
