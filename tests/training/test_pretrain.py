"""Pretraining runs: networks of every kind, files, resuming, and what training makes of the result."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from dinocell.cli import pretrain as cli
from dinocell.errors import CheckpointError, ConfigError, FileMissingError, OutputError, TrainingError
from dinocell.io.saving import write_image
from dinocell.io.settings_files import commented_yaml, read_settings
from dinocell.models.architecture import ConvNeXtConfig, DecoderConfig, ViTConfig
from dinocell.models.network.building import build_backbone
from dinocell.models.network.dinocell import DINOCell
from dinocell.models.variants import VARIANTS, Variant
from dinocell.training.pretraining import (
    ImagesRead,
    PretrainConfig,
    PretrainRecord,
    PretrainStep,
    pretrain,
    pretraining_steps,
)
from dinocell.training.pretraining.student import Encoder

VIT = ViTConfig(hidden_size=16, depth=4, heads=2, intermediate_size=32, feature_blocks=(0, 1, 2, 3))
CONVNEXT = ConvNeXtConfig(widths=(8, 8, 16, 16), depths=(1, 1, 1, 1))
NETWORKS = {"vit": VIT, "convnext": CONVNEXT, "residual": VARIANTS["nano"].backbone}
CONFIG_FILE = Path(__file__).parents[2] / "configs" / "pretrain_config.yaml"

SMALL = (
    "field=64", "global_views.size=32", "local_views.size=32", "local_views.count=1", "heads.hidden=8",
    "heads.bottleneck=8", "heads.prototypes=8", "optimiser.warmup_steps=1", "teacher.momentum=0.5",
)  # fmt: skip


@pytest.fixture(autouse=True)
def tiny_variants(monkeypatch):
    for kind in ("vit", "convnext"):
        variant = Variant(
            f"tiny-{kind}", "tiny", NETWORKS[kind], DecoderConfig(), "a licence", ("timm/tiny",)
        )
        monkeypatch.setitem(VARIANTS, variant.name, variant)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write three images, one of them smaller than a view."""
    path = tmp_path_factory.mktemp("unlabelled")
    rng = np.random.default_rng(0)
    for number, size in enumerate((80, 64, 20)):
        write_image(path / f"{number}.png", rng.integers(0, 256, (size, size), dtype=np.uint8))
    return path


def make_config(folder, output, *changes, **values):
    settings = {
        "model": "tiny-vit",
        "images": [folder],
        "output": output,
        "epochs": 2,
        "steps_per_epoch": 2,
        "batch_size": 2,
        "workers": 0,
    }
    return read_settings(PretrainConfig, None, [*SMALL, *changes], **settings | values)


def rows_of(output):
    with (output / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def state_of(output):
    return torch.load(output / "state.pt", weights_only=True)


def assert_equal(one, other):
    """Assert that two nests of dicts, lists and tensors are equal bit by bit, but for the time taken."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one.keys() - {"seconds"}:
            assert_equal(one[key], other[key])
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    else:
        assert one == other


@pytest.mark.parametrize("kind", NETWORKS)
def test_encoders_see_what_the_backbone_sees(kind):
    torch.manual_seed(0)
    backbone = build_backbone(NETWORKS[kind]).eval()
    encoder = Encoder(backbone)
    x = torch.randn(2, 3, 64, 96)
    whole, patches = encoder(x)
    assert whole.shape == (2, encoder.width)
    assert patches.shape == (2, 4 * 6, encoder.dense_width)
    dense = backbone(x)[3 if kind == "vit" else 2].flatten(2).transpose(1, 2)
    if kind != "vit":
        dense = torch.nn.functional.layer_norm(dense, dense.shape[-1:])
    torch.testing.assert_close(patches, dense)


@pytest.mark.parametrize("kind", NETWORKS)
def test_hidden_patches_cannot_be_seen(kind):
    torch.manual_seed(0)
    encoder = Encoder(build_backbone(NETWORKS[kind]).eval())
    x = torch.randn(1, 3, 64, 64)
    masks = torch.zeros(1, 16, dtype=torch.bool)
    masks[0, 6] = True  # the second row's third
    changed = x.clone()
    changed[:, :, 16:32, 32:48] += 5
    for one, other in zip(encoder(x, masks), encoder(changed, masks), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(encoder(x)[1], encoder(changed)[1])
    assert not torch.equal(encoder(x)[0], encoder(x, masks)[0])


@pytest.mark.parametrize("model", ["tiny-vit", "tiny-convnext", "nano"])
def test_the_result_is_a_backbone_to_train_with(folder, tmp_path, model):
    config = make_config(folder, tmp_path / "run", model=model)
    events = []
    result = pretrain(config, progress=events.append)
    assert result == tmp_path / "run" / "backbone"
    kinds = [type(event) for event in events]
    assert kinds == [ImagesRead, *[PretrainStep, PretrainStep, PretrainRecord] * 2]
    assert events[0] == ImagesRead(3, ())
    loaded = DINOCell.from_variant(model, backbone_weights=result)
    publisher = loaded.config.backbone_weights.publisher
    assert publisher == ("DINOCell" if model == "nano" else "Hugging Face")
    if model == "nano":  # its folder is a whole model, but never passes for a trained one
        assert not DINOCell.from_pretrained(result).config.trained
    teacher = state_of(config.output)["teacher"]
    for key, value in loaded.backbone.state_dict().items():
        assert torch.equal(value, teacher[f"encoder.backbone.{key}"]), key
    torch.manual_seed(config.seed)
    fresh = DINOCell.from_variant(model).backbone.state_dict()
    moved = [key for key, value in loaded.backbone.state_dict().items() if not torch.equal(value, fresh[key])]
    assert len(moved) > len(fresh) // 2
    record = json.loads((result / "pretraining.json").read_text(encoding="utf-8"))
    assert (record["images"], record["epoch"], record["model"]) == (3, 2, model)


@pytest.mark.parametrize(
    ("model", "name"), [("tiny-vit", "DINOv3ViTModel"), ("tiny-convnext", "DINOv3ConvNextBackbone")]
)
def test_transformers_reads_the_result(folder, tmp_path, model, name):
    import transformers

    result = pretrain(make_config(folder, tmp_path / "run", model=model, epochs=1, steps_per_epoch=1))
    theirs = getattr(transformers, name).from_pretrained(result).eval()
    ours = DINOCell.from_variant(model, backbone_weights=result).backbone.eval()
    x = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        if name == "DINOv3ViTModel":
            torch.testing.assert_close(
                theirs(x).last_hidden_state[:, 5:], ours(x)[3].flatten(2).transpose(1, 2)
            )
        else:
            torch.testing.assert_close(theirs(x).feature_maps[3], ours(x)[3])


def test_pretraining_starts_from_weights(folder, tmp_path):
    first = pretrain(make_config(folder, tmp_path / "first"))
    config = make_config(folder, tmp_path / "second", "optimiser.learning_rate=1e-12", weights=str(first))
    second = pretrain(config)
    one, other = (
        DINOCell.from_variant("tiny-vit", backbone_weights=path).backbone for path in (first, second)
    )
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    record = json.loads((second / "pretraining.json").read_text(encoding="utf-8"))
    assert record["weights"]["source"] == "backbone"
    # What it began with need not be there any more when it is resumed, and stays recorded.
    again = config.model_copy(update={"weights": "gone", "epochs": 3})
    pretrain(again, resume=True)
    record = json.loads((second / "pretraining.json").read_text(encoding="utf-8"))
    assert record["weights"]["source"] == "backbone"


@pytest.mark.slow
def test_student_and_teacher_learn_to_agree(folder, tmp_path):
    config = make_config(
        folder,
        tmp_path / "run",
        "optimiser.learning_rate=3e-3",
        "local_views.count=0",
        epochs=3,
        steps_per_epoch=25,
        batch_size=4,
    )
    records = []
    pretrain(
        config, progress=lambda event: records.append(event) if isinstance(event, PretrainRecord) else None
    )
    assert records[-1].loss < 0.9 * records[0].loss
    assert not any(record.collapsed for record in records)


def test_collapse_is_reported(tmp_path, caplog):
    blank = tmp_path / "blank"
    blank.mkdir()
    write_image(blank / "a.png", np.zeros((64, 64), np.uint8))
    augmentation = "{noise: 0, blur: 0, invert: 0}"
    config = make_config(
        blank,
        tmp_path / "run",
        f"global_views.augmentation={augmentation}",
        "masking.probability=0",
        epochs=1,
    )
    record = list(pretraining_steps(config))[-1]
    assert record.collapsed
    assert record.spread < 1e-6
    assert record.rank < 1.001  # none, or the rounding error alone
    assert "the features have collapsed" in caplog.text
    assert rows_of(config.output)[0]["collapsed"] == "True"


def test_a_resumed_run_equals_an_uninterrupted_one(folder, tmp_path):
    pretrain(make_config(folder, tmp_path / "whole"))
    config = make_config(folder, tmp_path / "broken")
    events = pretraining_steps(config)
    for event in events:
        if isinstance(event, PretrainStep) and event.step == 3:
            break  # in the middle of the second epoch
    events.close()
    torch.manual_seed(99)  # nothing drawn depends on it
    pretrain(config, resume=True)
    assert rows_of(config.output) == rows_of(tmp_path / "whole")
    assert [row["epoch"] for row in rows_of(config.output)] == ["1", "2"]
    assert_equal(state_of(config.output), state_of(tmp_path / "whole"))
    weights = [path / "backbone" / "model.safetensors" for path in (config.output, tmp_path / "whole")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


RUN = """
import sys
from pathlib import Path
import torch
from dinocell.io.settings_files import read_settings
from dinocell.training.pretraining import PretrainConfig, pretraining_steps
torch.set_num_threads(1)
for event in pretraining_steps(read_settings(PretrainConfig, Path(sys.argv[1])), resume=True):
    print(type(event).__name__, flush=True)
"""


def start(config):
    file = config.output.with_suffix(".yaml")
    file.write_text(commented_yaml(config), encoding="utf-8")
    return subprocess.Popen([sys.executable, "-c", RUN, str(file)], stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_killed_run_is_resumed_bit_by_bit(folder, tmp_path):
    whole = make_config(folder, tmp_path / "whole", model="nano", epochs=3)
    broken = whole.model_copy(update={"output": tmp_path / "broken"})
    process = start(whole)
    process.communicate()
    assert process.returncode == 0
    for events in (2, 6):  # in the first epoch, before anything is written; then in the second
        process = start(broken)
        for _ in range(events):
            process.stdout.readline()
        process.kill()
        process.communicate()
    process = start(broken)
    process.communicate()
    assert process.returncode == 0
    assert rows_of(broken.output) == rows_of(whole.output)
    assert_equal(state_of(broken.output), state_of(whole.output))
    assert not list(broken.output.glob(".planes*"))


def test_a_run_is_never_overwritten_and_resumed_only_as_it_was(folder, tmp_path):
    config = make_config(folder, tmp_path / "run", epochs=1)
    pretrain(config)
    with pytest.raises(OutputError, match="go on with --resume"):
        pretrain(config)
    with pytest.raises(CheckpointError, match="another seed, batch_size"):
        pretrain(config.model_copy(update={"seed": 5, "batch_size": 3}), resume=True)
    with pytest.raises(CheckpointError, match="another set of images"):
        pretrain(config.model_copy(update={"images": (folder / "0.png",)}), resume=True)
    state = config.output / "state.pt"
    for damage in (b"", b"garbage", state.read_bytes()[:-500]):
        state.write_bytes(damage)
        with pytest.raises(CheckpointError, match="cannot be resumed"):
            pretrain(config, resume=True)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_epoch(folder, tmp_path):
    config = make_config(folder, tmp_path / "run", epochs=1)
    pretrain(config)
    state = state_of(config.output)
    state["student"]["view_head.prototypes"].fill_(torch.nan)
    torch.save(state, config.output / "state.pt")
    before = (config.output / "backbone" / "model.safetensors").read_bytes()
    with pytest.raises(TrainingError, match="at step 3 is not finite: start anew with a lower"):
        pretrain(config.model_copy(update={"epochs": 2}), resume=True)
    assert (config.output / "backbone" / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_run_whose_folder_was_removed_does_not_end_well(folder, tmp_path, epoch):
    config = make_config(folder, tmp_path / "run")

    def move_away(event):
        if isinstance(event, PretrainRecord) and event.epoch == epoch:
            config.output.rename(tmp_path / "moved")

    with pytest.raises(OutputError, match=r"is gone|cannot be written"):
        pretrain(config, progress=move_away)
    assert not config.output.exists()


def test_settings_that_do_not_fit_are_refused(folder, tmp_path):
    with pytest.raises(ConfigError, match=r"local_views\.size is 48, expected a multiple of 32, 'nano'"):
        pretrain(make_config(folder, tmp_path / "a", "local_views.size=48", model="nano"))
    with pytest.raises(ConfigError, match="multiple of 16"):
        make_config(folder, tmp_path, "global_views.size=50")
    with pytest.raises(ConfigError, match="expected at most highest"):
        make_config(folder, tmp_path, "masking.lowest=0.6")
    with pytest.raises(ConfigError, match="did you mean 'masking'"):
        make_config(folder, tmp_path, "maskin=1")
    with pytest.raises(FileMissingError, match="no images are given"):
        pretrain(make_config(folder, tmp_path / "b", images=[]))


def test_a_section_that_is_changed_keeps_its_other_settings():
    config = read_settings(PretrainConfig, None, ["local_views.augmentation.noise=0"])
    default = PretrainConfig()
    assert config.local_views.augmentation.scale == default.local_views.augmentation.scale
    assert config.local_views.augmentation.noise == 0
    assert config.local_views.size == default.local_views.size


def test_the_configuration_file_states_the_defaults():
    assert CONFIG_FILE.read_text(encoding="utf-8") == commented_yaml(PretrainConfig())


def run_cli(*arguments):
    app = typer.Typer()
    app.command()(cli.command)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_line_runs_and_says_where_the_backbone_is(folder, tmp_path):
    options = [part for change in SMALL for part in ("--set", change)]
    file = tmp_path / "settings.yaml"
    file.write_text("model: tiny-convnext\nepochs: 1\nsteps_per_epoch: 1\nbatch_size: 2\nworkers: 0\n")
    output = tmp_path / "run"
    result = run_cli(folder, "-o", output, "--config", file, "--model", "tiny-vit", *options)
    assert result.exit_code == 0, result.output
    assert "3 images" in result.output
    assert "epoch 1: loss" in result.output
    assert f"backbone: {output / 'backbone'}" in result.output
    assert read_settings(PretrainConfig, output / "config.yaml").model == "tiny-vit"
    again = run_cli(folder, "-o", output, "--config", file, "--model", "tiny-vit", "--resume", *options)
    assert again.exit_code == 0, again.output
    assert len(rows_of(output)) == 1


def test_the_command_line_prints_settings_that_it_reads(tmp_path):
    result = run_cli("some/images", "-o", tmp_path / "run", "--set", "loss.koleo=0.5", "--print-config")
    assert result.exit_code == 0, result.output
    file = tmp_path / "printed.yaml"
    file.write_text(result.output, encoding="utf-8")
    config = read_settings(PretrainConfig, file)
    assert (config.loss.koleo, config.images) == (0.5, (Path("some/images"),))
    assert not (tmp_path / "run").exists()


def test_rows_say_what_the_steps_were_taken_with(folder, tmp_path):
    changes = ["optimiser.learning_rate=0.01", "optimiser.warmup_steps=2", "teacher.momentum=0.9"]
    changes += ["teacher.first_temperature=0.02", "teacher.temperature=0.04", "teacher.warmup_steps=2"]
    config = make_config(folder, tmp_path / "run", *changes, epochs=2, steps_per_epoch=2)
    records = []
    pretrain(
        config, progress=lambda event: records.append(event) if isinstance(event, PretrainRecord) else None
    )
    # steps 1 and 3 of 4: the end of the warm-up, and the middle of the cosine that follows
    assert [record.learning_rate for record in records] == pytest.approx([0.01, 0.005])
    assert records[0].momentum < records[1].momentum <= 1
    assert records[1].temperature == pytest.approx(0.04)


def test_weights_that_are_not_finite_are_refused_before_they_are_watched_or_written(folder, tmp_path):
    config = make_config(
        folder, tmp_path / "run", "optimiser.learning_rate=1e30", epochs=3, steps_per_epoch=1
    )
    with pytest.raises(TrainingError, match="is not finite: start anew"):
        pretrain(config)
    with pytest.raises(ConfigError, match=r"field is 32, expected at least global_views\.size"):
        make_config(folder, tmp_path / "run", "field=32", "global_views.size=64")
