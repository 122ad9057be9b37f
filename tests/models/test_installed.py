"""A trained model that another distribution adds is found by its name, and its absence is explained."""

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dinocell.errors import UntrainedModelError
from dinocell.io.saving import write_image
from dinocell.models.architecture import DecoderConfig, DINOv2Config
from dinocell.models.checkpoint import is_trained, write_config
from dinocell.models.configuration import ModelConfig
from dinocell.models.finding import CONFIG_FILE, find_checkpoint
from dinocell.models.installed import GROUP, installed_folder
from dinocell.models.network.dinocell import DINOCell

PACKAGE = Path(__file__).parents[2] / "packages" / "dinocell-dinov2-small"
SMALL = ModelConfig(
    variant="dinov2-small",
    backbone=DINOv2Config(hidden_size=48, depth=4, heads=2, feature_blocks=(0, 1, 2, 3), token_stride=8),
    decoder=DecoderConfig(widths=(8, 8, 8, 16, 16, 16)),
    trained=True,
)
"""A narrow network under the name of the variant: as a checkpoint may be."""


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Create a folder of installed packages, on the path."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


def install(site, module, *, trained=True):
    """Write what an installer leaves of a distribution whose package holds a checkpoint."""
    (site / "other-1.0.dist-info").mkdir()
    (site / "other-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: other\nVersion: 1.0\n"
    )
    (site / "other-1.0.dist-info" / "entry_points.txt").write_text(f"[{GROUP}]\ndinov2-small = {module}\n")
    folder = site / "weights_of_other"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('nothing of a package is run')\n")
    write_config(folder / CONFIG_FILE, SMALL.model_copy(update={"trained": trained}))
    importlib.invalidate_caches()
    return folder


@pytest.mark.parametrize("trained", [True, False])
def test_a_model_of_another_package_is_found_and_its_code_is_not_run(trained, site):
    folder = install(site, "weights_of_other", trained=trained)
    assert installed_folder("dinov2-small") == folder
    assert find_checkpoint("dinov2-small") == folder
    assert is_trained("dinov2-small") == trained
    assert installed_folder("small") is None


@pytest.mark.parametrize("module", ["gone", "gone.deeper", ".relative"])
def test_what_is_left_of_a_removed_package_is_no_model(module, site):
    install(site, module)
    assert installed_folder("dinov2-small") is None
    assert not is_trained("dinov2-small")


def test_without_the_package_it_is_said_where_the_weights_would_come_from():
    if installed_folder("dinov2-small") is not None:
        pytest.skip("it is installed here")
    with pytest.raises(UntrainedModelError, match=r"install the package dinocell-dinov2-small .*models\.md"):
        find_checkpoint("dinov2-small")
    with pytest.raises(UntrainedModelError, match=r"weights here: train it with"):
        find_checkpoint("small")


def run(*arguments, **changes):
    """Run Python as a user would, and return all that it printed."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {name: str(value) for name, value in changes.items()},
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_a_wheel_built_from_a_run_is_found_by_segment(tmp_path):
    pytest.importorskip("hatchling")
    model = DINOCell(SMALL)
    model.folded().save_pretrained(tmp_path / "run")
    package = tmp_path / "package"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("checkpoint"))
    wheel = ("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path / "dist", package)
    code, text = run(*wheel)
    assert code != 0  # there is no wheel without weights
    assert "model.safetensors" in text or "config.json" in text

    code, text = run(package / "prepare.py", tmp_path / "run")
    assert code == 0, text
    code, text = run(*wheel)
    assert code == 0, text
    (file,) = (tmp_path / "dist").glob("*.whl")
    site = tmp_path / "site"
    code, text = run("-m", "pip", "install", "--no-deps", "--target", site, file)
    assert code == 0, text

    write_image(tmp_path / "a.png", np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8))
    segment = ("-m", "dinocell", "segment", tmp_path / "a.png", "--model", "dinov2-small", "-o")
    code, text = run(*segment, tmp_path / "out", PYTHONPATH=os.pathsep.join((str(site), *sys.path)))
    assert code == 0, text
    code, text = run(*segment, tmp_path / "other")
    assert code != 0
    assert "install the package dinocell-dinov2-small" in " ".join(text.split())


@pytest.mark.slow
def test_only_a_trained_model_of_that_name_is_packed(tmp_path):
    for changes, message in (
        ({"trained": False}, "an untrained dinov2-small, expected a trained dinov2-small"),
        ({"variant": "small"}, "a trained small, expected a trained dinov2-small"),
    ):
        DINOCell(SMALL.model_copy(update=changes)).save_pretrained(tmp_path / "run")
        code, text = run(PACKAGE / "prepare.py", tmp_path / "run")
        assert code == 1
        assert message in text
        assert "Traceback" not in text
