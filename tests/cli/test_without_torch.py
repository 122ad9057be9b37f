"""All but training runs where PyTorch cannot be imported, in every process that it starts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NO_TORCH = ROOT / "tests" / "fakes" / "no_torch"


def dinocell(folder, *arguments):
    path = os.pathsep.join([str(NO_TORCH), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-m", "dinocell", *arguments],
        cwd=folder, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with two samples, and results of them."""
    folder = tmp_path_factory.mktemp("without")
    (folder / "samples").mkdir()
    for name in ("phase_1", "fluorescence_1"):
        for file in (ROOT / "samples").glob(f"{name}_*"):
            (folder / "samples" / file.name).symlink_to(file)
    done = dinocell(folder, "segment", "samples", "-o", "results")
    assert done.returncode == 0, done.stderr
    return folder


def test_segmenting_needs_no_torch(folder):
    assert len(list((folder / "results").glob("*_labels.tif"))) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [
        "segment samples -o spread --workers 2",
        "segment-large samples/phase_1_img.png -o large.zarr --workers 1",
        "evaluate --data samples",
        "evaluate --data samples --workers 0 -o scores",
        "tune samples -o preset.yaml",
        "compare --data samples --tools dinocell -o compared",
        "measure samples/phase_1_img.png results/phase_1_img_labels.tif -o measured --format csv,rois",
        "process folder samples -o store",
        "process inspect store",
        "import measured/phase_1_img_rois.zip --image samples/phase_1_img.png -o imported",
        "synthesize -o drawn -n 1 --recipe fluorescence_nuclei",
        "models",
        "info samples/phase_1_img.png",
        "doctor",
        "train --help",
        "finetune --help",
        "pretrain --help",
        "export --help",
    ],
)
def test_commands_need_no_torch(folder, line):
    done = dinocell(folder, *line.split())
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "line",
    [
        "segment samples -o o --engine torch",
        "segment samples -o o --device cuda",
        "segment samples -o o --compile",
        pytest.param("export nano -o nano.onnx", marks=pytest.mark.slow),
        pytest.param("download small", marks=pytest.mark.slow),
        pytest.param("finetune samples -o tuned", marks=pytest.mark.slow),
        pytest.param("train --train samples --validation samples -o run", marks=pytest.mark.slow),
        pytest.param("pretrain samples -o run", marks=pytest.mark.slow),
    ],
)
def test_what_needs_it_says_so_in_one_line(folder, line):
    done = dinocell(folder, *line.split())
    assert done.returncode == 1, done.stdout + done.stderr
    (said,) = done.stderr.strip().splitlines()
    assert said.startswith("error: ")
    assert 'pip install "dinocell[' in said
    assert not (folder / "o").exists()
