"""The page that segments in the browser, in a real one: held to Python, with all other hosts cut off."""

import csv
import functools
import json
import shutil
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from dinocell import read_image, read_labels, segment
from dinocell.editing import replay_file
from dinocell.io.saving import write_image
from dinocell.results.geojson_import import read_geojson
from dinocell.web import write_static_site

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "page"
SAMPLES = sorted((ROOT / "samples").glob("*_img.png"))

pytestmark = pytest.mark.slow


def tool(name):
    path = shutil.which(name)
    if path is None or not (PAGE / "node_modules").is_dir():
        pytest.skip(f"needs {name}, and the packages of page/ (npm ci)")
    return path


def test_the_browser_computes_what_python_computes():
    done = subprocess.run(
        [tool("npm"), "test"], cwd=PAGE, capture_output=True, text=True, timeout=500, check=False
    )
    failed = [line for line in done.stdout.splitlines() if line.lstrip().startswith("not ok")]
    assert not failed
    assert done.returncode == 0, done.stdout[-2000:]
    assert "fail 0" in done.stdout


class _Quiet(SimpleHTTPRequestHandler):
    isolated = False

    def end_headers(self):
        if self.isolated:
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *_):
        pass


class _Isolated(_Quiet):
    isolated = True


def run_site(site, output, images, handler=_Quiet):
    """Serve a site, segment images on it in Chromium, and return what its script found."""
    node, chromium = tool("node"), tool("chromium")
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        done = subprocess.run(
            [node, "driving/segment.mjs", address, str(site), str(output), *map(str, images)],
            cwd=PAGE,
            env={"CHROMIUM": chromium, "PATH": str(Path(node).parent)},
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    tool("node"), tool("chromium")
    return write_static_site("nano", tmp_path_factory.mktemp("static") / "site")


@pytest.fixture(scope="module")
def found(site, tmp_path_factory):
    """Return the folder of the files that a page wrote of the samples, and what it found."""
    output = tmp_path_factory.mktemp("output")
    return output, run_site(site, output, SAMPLES)


def worst_overlap(one, other):
    """Return the lowest IoU of a cell with its best match."""
    pairs, shared = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1, return_counts=True)
    areas, others = np.bincount(one.ravel()), np.bincount(other.ravel())
    inside = (pairs > 0).all(axis=0)
    first, second = pairs[:, inside]
    overlap = shared[inside] / (areas[first] + others[second] - shared[inside])
    best = np.zeros(areas.size)
    np.maximum.at(best, first, overlap)
    return best[1:].min(initial=1.0)


def stem(path):
    return path.stem


def test_a_page_finds_the_cells_that_python_finds(found):
    output, answer = found
    for path, one in zip(SAMPLES, answer["segmented"], strict=True):
        expected = segment(path)
        labels = read_labels(output / f"{stem(path)}_labels.tif")
        assert one["result"]["count"] == expected.count == labels.max()
        assert one["result"]["target"] == expected.parameters.target
        assert worst_overlap(expected.labels, labels) >= 0.99
        assert "segmenting (WebAssembly, 1 thread)" in one["stages"]


def test_files_of_a_page_are_python_s(found):
    output, _ = found
    for path in SAMPLES:
        expected = segment(path).table()
        begin = output / stem(path)
        labels = read_labels(f"{begin}_labels.tif")
        np.testing.assert_array_equal(read_labels(f"{begin}_labels.png"), labels)
        np.testing.assert_array_equal(read_geojson(f"{begin}_cells.geojson", labels.shape), labels)
        with Path(f"{begin}_cells.csv").open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        assert header == list(expected)
        table = np.array(rows, float)
        for column, values in zip(table.T, expected.values(), strict=True):
            np.testing.assert_allclose(column, values, rtol=2e-3, atol=2e-3)


def test_corrections_on_a_page_are_repeated_by_python(found, tmp_path):
    output, answer = found
    corrected = answer["corrected"]
    count = answer["segmented"][0]["result"]["count"]
    assert corrected["merged"]["count"] == count - 1
    assert corrected["merged"]["edits"] == 1
    assert (corrected["undone"], corrected["redone"]) == ({"count": count, "redo": True}, count - 1)
    journal = tmp_path / "edits.jsonl"
    journal.write_text(corrected["journal"], encoding="utf-8")
    labels = output / f"{stem(SAMPLES[0])}_labels.tif"
    _, editor = replay_file(labels, journal, tmp_path / "replayed", overwrite=False)
    assert np.unique(editor.labels).size - 1 == count - 1


def test_a_page_says_what_it_cannot_do(found):
    corrected = found[1]["corrected"]
    assert corrected["refused"] == [
        True,
        "1 edit would be lost, expected none: undo them, or say that they may go",
    ]
    assert corrected["unreadable"].startswith("notes.txt: it is none of the formats")
    assert corrected["unknown"].startswith("size is not a setting")
    assert corrected["cancelled"] == "cancelled"


def test_a_page_shows_tiles_outlines_and_floods_again(found):
    answer = found[1]
    corrected, first = answer["corrected"], answer["segmented"][0]
    assert corrected["tile"] == [256, 256]
    assert corrected["ids"] == first["result"]["count"]
    assert corrected["outline"]["corners"] >= 4
    assert corrected["checked"] == [[1, 3], True]
    assert corrected["flooded"]["thresholds"]["cells_max_threshold"] == 0.8
    assert 0 < corrected["flooded"]["count"] < first["result"]["count"]
    assert first["columns"][:2] == ["id", "confidence"]


def test_a_page_reads_tiffs_as_python_does_and_uses_threads_where_it_may(site, tmp_path):
    pixels = read_image(SAMPLES[0]).pixels
    colours = np.stack([pixels, pixels // 2, 255 - pixels], axis=-1)
    images = {
        "deep_img.tif": pixels.astype(np.uint16) * 211 + 57,
        "float_img.tif": pixels.astype(np.float32) * np.float32(0.37) - np.float32(11),
        "colour_img.tif": colours,
        "deep_img.png": pixels.astype(np.uint16) * 211,
    }
    for name, values in images.items():
        write_image(tmp_path / name, values)
    output = tmp_path / "output"
    output.mkdir()
    answer = run_site(site, output, [tmp_path / name for name in images], _Isolated)
    for (name, values), one in zip(images.items(), answer["segmented"], strict=True):
        assert one["isolated"]
        assert one["image"]["dtype"] == str(values.dtype)
        assert one["result"]["count"] == segment(values).count, name
