import numpy as np

from dinocell.datasets.folder import find_pairs
from dinocell.datasets.inspect import THUMBNAIL, contact_sheet, describe
from dinocell.datasets.process import ProcessSettings, process
from dinocell.datasets.store import DINOCellDataset
from dinocell.io.saving import write_image, write_labels
from tests.cases import disk


def make_store(folder, count):
    source = folder / "in"
    source.mkdir()
    labels = np.zeros((60, 140), np.int32)
    labels[disk(labels.shape, (20, 20), 10)] = 1
    labels[disk(labels.shape, (40, 110), 10)] = 2
    for number in range(count):
        write_image(source / f"{number:02}_img.png", (labels > 0).astype(np.uint8) * 200)
        write_labels(source / f"{number:02}_masks.tif", labels)
    list(
        process(
            find_pairs(source), folder / "store", ProcessSettings("folder", size=64, overlap=0), workers=0
        )
    )
    return DINOCellDataset(folder / "store"), labels


def test_counts_and_diameters_are_those_of_the_labels(tmp_path):
    dataset, labels = make_store(tmp_path, 3)
    text = "\n".join(describe(dataset))
    assert "9 items of 64×64 px from 3 images, to train on" in text
    assert "6 cells, 0 overlapped pixels" in text
    assert "cells an item: 1 to 1" in text
    diameter = 2 * np.sqrt((labels == 1).sum() / np.pi)
    assert f"50 % {diameter:.1f}" in text


def test_the_contact_sheet_shows_outlines_and_dims_what_is_ignored(tmp_path):
    dataset, _ = make_store(tmp_path, 1)
    sheet = contact_sheet(dataset)
    assert sheet.shape == (THUMBNAIL, 3 * THUMBNAIL, 3)
    coloured = (sheet.max(axis=2) != sheet.min(axis=2)).sum()
    assert 200 < coloured < sheet[:, :, 0].size / 10
    sample = dataset[0]  # 60 rows of image, 4 of padding
    assert (sample.labels[60:] == -1).all()
    assert sheet[: THUMBNAIL - 4].max() == 255
