"""Cells as COCO JSON: exact by pycocotools and by the reader of LIVECell."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from numpy.typing import NDArray
from pycocotools.coco import COCO

from dinocell.datasets.livecell import find_items
from dinocell.errors import InputError, OutputError
from dinocell.io.saving import write_image
from dinocell.labels import relabel
from dinocell.results.coco import write_coco
from tests.cases import CASES
from tests.measure.test_polygons import label_images, ring_with_guest

# pycocotools 2.0.11 was not written for NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def opened(path: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(path)


def check(path: Path, labels: NDArray[Any]) -> None:
    """Check masks, areas and boxes against pycocotools and NumPy."""
    write_coco(path, labels, image_name="a.tif")
    coco = opened(path)
    seen = np.zeros(labels.shape, np.int32)
    for annotation in coco.loadAnns(coco.getAnnIds(iscrowd=0)):
        mask = coco.annToMask(annotation).astype(bool)
        seen[mask] = annotation["id"]
        rows, columns = np.nonzero(labels == annotation["id"])
        assert annotation["area"] == rows.size
        left, top = columns.min(), rows.min()
        assert annotation["bbox"] == [left, top, columns.max() - left + 1, rows.max() - top + 1]
    np.testing.assert_array_equal(seen, np.maximum(labels, 0))
    crowd = np.zeros(labels.shape, bool)
    for annotation in coco.loadAnns(coco.getAnnIds(iscrowd=1)):
        crowd |= coco.annToMask(annotation).astype(bool)
    np.testing.assert_array_equal(crowd, labels == -1)


@pytest.mark.parametrize("name", CASES)
def test_named_cases(tmp_path: Path, name: str) -> None:
    check(tmp_path / "a.json", CASES[name] * 7)


@QUICK
@given(labels=label_images)
def test_any_labels(tmp_path: Path, labels: NDArray[np.int32]) -> None:
    check(tmp_path / "a.json", labels)


def test_a_file_by_hand(tmp_path: Path) -> None:
    labels = np.array([[0, 4, 0], [9, 4, 9]])
    scores = np.array([0.25, np.nan], np.float32)
    write_coco(tmp_path / "b.json", labels, scores=scores, provenance={"source": "é"})
    document = json.loads((tmp_path / "b.json").read_text("ascii"), parse_constant=pytest.fail)
    assert document["info"]["provenance"] == {"source": "é"}
    assert document["images"] == [{"id": 1, "file_name": "b.png", "height": 2, "width": 3}]
    assert document["categories"] == [{"id": 1, "name": "cell"}]
    first, second = document["annotations"]
    assert first == {
        "id": 4,
        "image_id": 1,
        "category_id": 1,
        "iscrowd": 0,
        "area": 2,
        "bbox": [1, 0, 1, 2],
        "segmentation": {"size": [2, 3], "counts": [2, 2, 2]},
        "score": 0.25,
    }
    assert second["segmentation"]["counts"] == [1, 1, 3, 1]
    assert "score" not in second


def test_the_reader_of_livecell_gives_the_same_cells(tmp_path: Path) -> None:
    labels = ring_with_guest()
    labels[0] = -1
    write_image(tmp_path / "a.tif", np.zeros(labels.shape, np.uint8))
    write_coco(tmp_path / "a.json", labels, image_name="a.tif")
    (item,) = find_items(tmp_path)
    read = item.read()
    np.testing.assert_array_equal(read.labels, relabel(labels))
    assert read.overlapped_pixels == 0


def test_what_is_refused(tmp_path: Path) -> None:
    labels = np.array([[1, 2]])
    with pytest.raises(InputError, match="scores has 3 values, expected 2: one a cell"):
        write_coco(tmp_path / "a.json", labels, scores=np.zeros(3))
    with pytest.raises(InputError, match="expected at least one pixel"):
        write_coco(tmp_path / "a.json", labels[:0])
    with pytest.raises(InputError, match="the provenance cannot be stored"):
        write_coco(tmp_path / "a.json", labels, provenance={"x": float("inf")})
    with pytest.raises(OutputError):
        write_coco(tmp_path / "missing" / "a.json", labels)
    assert not list(tmp_path.iterdir())
