"""DINOCell-Small at its real size, from a file in Meta's layout to labels of a real image."""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from dinocell.cli import app
from dinocell.errors import UntrainedModelError
from dinocell.io.images import read_labels
from dinocell.models.network.dinocell import DINOCell
from dinocell.models.variants import VARIANTS
from tests.models import dinov3_reference

SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "dinov3_vits16.pth"
    torch.save(dinov3_reference.meta_vit(VARIANTS["small"].backbone), path)
    return path


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.slow
@pytest.mark.parametrize("freeze", [True, False])
def test_one_training_step_changes_what_is_not_frozen(freeze, weights, tmp_path):
    (tmp_path / "run.yaml").write_text(
        f"model: small\nbackbone: {{weights: {weights}, mode: {'frozen' if freeze else 'full'}}}\n"
        f"train: [{{path: {SAMPLES}}}]\nvalidation: [{{path: {SAMPLES}}}]\noutput: {tmp_path / 'run'}\n"
        "epochs: 1\nsteps_per_epoch: 1\nbatch_size: 2\nworkers: 0\n"
    )
    result = run("train", "--config", tmp_path / "run.yaml")
    assert result.exit_code == 0, result.output
    trained = DINOCell.from_pretrained(tmp_path / "run" / "best_model")
    start = DINOCell.from_variant("small", backbone_weights=weights)
    same = [
        torch.equal(before, after)
        for before, after in zip(start.backbone.parameters(), trained.backbone.parameters(), strict=True)
    ]
    assert all(same) if freeze else sum(same) == 1  # the mask token, which only pretraining uses
    assert not torch.equal(start.decoder.head.weight, trained.decoder.head.weight)


@pytest.mark.slow
def test_segmenting_is_refused_until_untrained_models_are_allowed(weights, tmp_path):
    model = DINOCell.from_variant("small", backbone_weights=weights).save_pretrained(tmp_path / "small")
    arguments = ("segment", SAMPLES / "phase_1_img.png", "-o", tmp_path / "out", "--model", model)
    assert isinstance(run(*arguments).exception, UntrainedModelError)
    assert not (tmp_path / "out").exists()
    assert run(*arguments, "--allow-untrained").exit_code == 0
    shape = read_labels(SAMPLES / "phase_1_masks.png").shape
    assert read_labels(tmp_path / "out" / "phase_1_img_untrained_labels.tif").shape == shape
