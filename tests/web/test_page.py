"""The page of a real server in a real browser, and the built page against its sources."""

import csv
import io
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tifffile

import dinocell
import dinocell.web
from tests.web.servers import SAMPLES, running

PAGE = Path(__file__).parents[2] / "page"
BUILT = Path(dinocell.web.__file__).parent / "page"
SUREST = 0.8

pytestmark = pytest.mark.slow


def tool(name):
    """Return the path of a program, or skip where it is missing."""
    path = shutil.which(os.environ.get("CHROMIUM", name) if name == "chromium" else name)
    if path is None or not (PAGE / "node_modules").is_dir():
        pytest.skip(f"needs {name}, and the packages of page/ (npm ci)")
    return path


def run_node(*arguments, timeout=500, **environment):
    """Run a script in the folder of the page; return its output."""
    done = subprocess.run(
        [tool("node"), *map(str, arguments)],
        cwd=PAGE,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    failed = done.stdout[max(done.stdout.find("not ok"), 0) :]
    assert done.returncode == 0, failed[:6000] + done.stderr[-3000:]
    return done.stdout


def expected_of(path):
    found = dinocell.segment(path)
    surest = dinocell.segment(path, cells_max=SUREST, target=found.parameters.target)
    return {"count": found.count, "surest": surest.count}


@pytest.fixture
def stack(tmp_path):
    """Return an OME-TIFF of three times and five slices, and its planes: windows of a sample."""
    pixels = dinocell.read_image(SAMPLES[0]).pixels
    planes = np.stack(
        [[pixels[30 * t :, 20 * z :][:160, :160] for z in range(5)] for t in range(3)],
    )
    path = tmp_path / "stack.ome.tif"
    tifffile.imwrite(path, planes, ome=True, metadata={"axes": "TZYX"})
    return path, planes


def test_people_upload_look_correct_and_download(tmp_path, stack):
    chromium = tool("chromium")
    expected = {path.name: expected_of(path) for path in SAMPLES}
    with running(tmp_path / "data") as (_, client):
        output = run_node(
            "test/server.browser.mjs",
            CHROMIUM=chromium,
            ADDRESS=client.address,
            SAMPLES=str(SAMPLES[0].parent),
            EXPECTED=json.dumps(expected),
            STACK=str(stack[0]),
            PLANE_COUNT=str(dinocell.segment(stack[1][1, 4]).count),
        )
        assert "fail 0" in output
        assert "skipped 0" in output
        names = {each["id"]: each["name"] for each in client.get("/images")["images"]}
        assert sorted(names.values()) == sorted([*expected, *["stack.ome.tif"] * 3])
        (corrected,) = (each for each in client.get("/results")["results"] if each["edits"])
        assert corrected["count"] == expected[names[corrected["image"]]]["count"] - 1
        labels = tifffile.imread(io.BytesIO(client.download(corrected, "tif")))
        assert np.unique(labels[labels > 0]).size == corrected["count"]
        table = list(csv.DictReader(io.StringIO(client.download(corrected, "csv").decode())))
        assert len(table) == corrected["count"]


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_built_page_is_that_of_its_sources(tmp_path):
    tool("node")
    # Packing the runtime takes minutes: what is packed of the same bytes is left as it is.
    shutil.copytree(BUILT / "ort", tmp_path / "ort")
    run_node("build.mjs", tmp_path)
    built, committed = contents(tmp_path), contents(BUILT)
    assert sorted(built) == sorted(committed), "run make web"
    assert [name for name, content in built.items() if content != committed[name]] == [], "run make web"


def test_the_whole_page_works_without_a_server_of_ours():
    output = run_node("test/page.browser.mjs", CHROMIUM=tool("chromium"))
    assert "fail 0" in output
    assert "skipped 0" in output
