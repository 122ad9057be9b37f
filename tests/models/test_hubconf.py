"""`torch.hub` finds every variant in the checkout."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dinocell.errors import InputError, UntrainedModelError
from dinocell.models.network.dinocell import DINOCell
from dinocell.models.variants import VARIANTS
from tests.models import dinov3_reference

ROOT = Path(__file__).parents[2]


def load(entry, **options):
    return torch.hub.load(str(ROOT), entry, source="local", **options)


def test_nano_comes_trained():
    model, expected = load("dinocell_nano"), DINOCell.from_pretrained("nano")
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model(x), expected(x))
    assert not model.training
    assert not load("dinocell_nano", pretrained=False).config.trained


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "nano"])
def test_other_variants_come_untrained_and_say_so_when_asked_for_more(name):
    entry = f"dinocell_{name.replace('-', '_')}"
    with torch.device("meta"):
        model = load(entry)
    assert model.config.variant == name
    assert not model.config.trained
    with pytest.raises(UntrainedModelError, match="no trained weights"):
        load(entry, pretrained=True)


def test_published_weights_go_into_the_backbone(tmp_path):
    weights = dinov3_reference.meta_convnext(VARIANTS["convnext-tiny"].backbone)
    torch.save(weights, tmp_path / "w.pth")
    model = load("dinocell_convnext_tiny", backbone_weights=str(tmp_path / "w.pth"))
    found = model.backbone.blocks[3].layers[2].gamma
    assert torch.equal(found, weights["stages.3.2.gamma"])


def test_options_that_contradict_each_other_are_refused():
    with pytest.raises(InputError, match="leave backbone_weights out"):
        load("dinocell_nano", pretrained=True, backbone_weights="x.pth")


def test_only_entry_points_are_public():
    spec = importlib.util.spec_from_file_location("hubconf", ROOT / "hubconf.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    public = {name for name, value in vars(module).items() if callable(value) and not name.startswith("_")}
    assert public == {f"dinocell_{name.replace('-', '_')}" for name in VARIANTS}


@pytest.mark.slow
def test_the_checkout_need_not_be_installed(tmp_path):
    code = (
        "import sys, importlib.util as util\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'dinocell' else find(name, *rest)\n"
        f"spec = util.spec_from_file_location('hubconf', {str(ROOT / 'hubconf.py')!r})\n"
        "spec.loader.exec_module(util.module_from_spec(spec))\n"
        f"assert sys.path[0] == {str(ROOT / 'src')!r}\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
