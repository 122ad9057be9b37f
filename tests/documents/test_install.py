"""The wheel and the sdist hold what they must; from the wheel alone, the README's commands work."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.documents.test_readme import NOT_RUN, blocks, commands

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
MOST_BYTES = 60 * 2**20
WEIGHTS = {
    f"dinocell/models/shipped/nano/{name}" for name in ("config.json", "model.onnx", "model.safetensors")
}
NEEDED = WEIGHTS | {
    "dinocell/py.typed",
    "dinocell/__init__.pyi",
    "dinocell/samples/phase_1_img.png",
    "dinocell/models/shipped/nano/README.md",
}


def call(*command, cwd=None):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build sdist and wheel; return both."""
    folder = tmp_path_factory.mktemp("dist")
    call(sys.executable, "-m", "hatchling", "build", "-d", folder, cwd=ROOT)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """Folder of a fresh environment with the wheel and what it needs, and with the samples beside it."""
    folder = tmp_path_factory.mktemp("fresh")
    call(sys.executable, "-m", "venv", folder / ".venv")
    python = folder / ".venv" / "bin" / "python"
    call(python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", built[1])
    (folder / "samples").symlink_to(ROOT / "samples")
    return folder


def names_in(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_the_wheel_holds_the_package_and_its_weights_alone(built):
    names = names_in(built[1])
    assert names >= NEEDED
    assert all(name.startswith("dinocell/") and "__pycache__" not in name for name in names)
    sources = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == sources
    assert built[1].stat().st_size < MOST_BYTES


def test_the_sdist_gives_the_same_wheel(built, tmp_path):
    with tarfile.open(built[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names >= {
        "README.md",
        "LICENSE",
        "NOTICE.md",
        "constraints.txt",
        "tests/cases.py",
        "docs/index.md",
    }
    assert not any(name.startswith((".git/", ".venv", "datasets/")) for name in names)
    assert built[0].stat().st_size < MOST_BYTES
    isolation = ("--no-build-isolation", "--no-deps", "--quiet")
    call(sys.executable, "-m", "pip", "wheel", *isolation, "-w", tmp_path, built[0])
    (wheel,) = tmp_path.glob("*.whl")
    assert names_in(wheel) == names_in(built[1])


@pytest.mark.skipif(sys.platform == "win32", reason="programs lie in another folder there")
def test_the_first_half_of_the_readme_works_without_torch(installed):
    python = installed / ".venv" / "bin" / "python"
    missing = "import importlib.util as u; print([u.find_spec(n) for n in ('torch', 'transformers', 'onnx')])"
    assert call(python, "-c", missing) == "[None, None, None]\n"
    log = [call(*line.split(), cwd=installed) for line in commands() if line not in NOT_RUN]
    assert "45 cells" in log[0]
    assert len(list((installed / "results").glob("*_labels.tif"))) == 5
    first = call(python, "-c", blocks("python")[0], cwd=installed)
    assert re.match(r"[1-9]\d* cells", first)
    assert "all is well" in call(".venv/bin/dinocell", "doctor", cwd=installed)
