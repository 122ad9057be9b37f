import importlib
import os
import pkgutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from typer.testing import CliRunner

import dinocell
from dinocell.cli import app
from dinocell.errors import ConfigError, FileMissingError
from dinocell.io.settings_files import MAX_SETTINGS_BYTES, commented_yaml, read_settings
from dinocell.training import TrainConfig
from dinocell.training.finetuning import FinetuneConfig
from dinocell.training.pretraining import PretrainConfig

DATA = {"train": [{"path": "x"}], "validation": [{"path": "x"}]}
CONFIGS = Path(__file__).parents[1] / "configs"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("learning_rat=1", "unknown key 'learning_rat': did you mean 'optimiser.learning_rate'"),
        ("optimizer.learning_rate=1", "unknown key 'optimizer': did you mean 'optimiser'"),
        ("augmentation.scal=[1, 2]", "did you mean 'augmentation.scale'"),
        ("preprocessing.clahee=true", "did you mean 'preprocessing.clahe'"),
        (
            "train=[{path: x, wieght: 1}]",
            r"'train\.0\.wieght': did you mean 'validation\.weight'|train\.weight",
        ),
        ("zzzz=1", "unknown key 'zzzz'$"),
        ("epochs=0", "epochs: .* not 0"),
        ("crop_size=100", "multiple of 16"),
        ("loss.kind=l1", "loss.kind: .*'mse' or 'bce', not 'l1'"),
        ("augmentation.scale=[2, 1]", "augmentation.scale: expected two positive numbers"),
        ("backbone.mode=frozen", "would freeze random weights"),
        ("backbone.mode=lora", "would freeze random weights"),
        ("epochs", "changes no setting: expected NAME=VALUE"),
        ("=3", "changes no setting: expected NAME=VALUE"),
        ("seed=[1", "is not YAML"),
        ("seed=!!int x", "'seed=!!int x': '!!int x' is not YAML"),
        ("seed=2026-02-30", "seed: expected a valid integer.* not '2026-02-30'"),
        ("crop_size=8192", "crop_size: .*less than or equal to 4096"),
        ("preprocessing.clahe_window=1000000000", "whole pixels from 2 to 4096"),
        ("preprocessing.clahe_clip_limit=.inf", "clahe_clip_limit: .*finite"),
        ("diameter_range=[1, .inf]", "diameter_range"),
        ("augmentation.flip=.nan", "augmentation.flip: .*finite"),
        ("loss.kind=" + "x" * 5000, "not 'xxx"),
        ("train=[]", "train: .*at least 1 item"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(change, message):
    with pytest.raises(ConfigError, match=message) as caught:
        read_settings(TrainConfig, None, [change], **DATA)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_date_is_a_name_like_any_other():
    assert read_settings(TrainConfig, None, ["output=2026-02-30"], **DATA).output == Path("2026-02-30")


def test_the_file_is_named_and_what_is_missing():
    with pytest.raises(ConfigError, match="the settings: train is missing"):
        read_settings(TrainConfig)
    with pytest.raises(FileMissingError, match="cannot read"):
        read_settings(TrainConfig, Path("none.yaml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [("[1, 2]", "holds no settings"), ("a: [", "is not YAML"), ("epochs: 0", "c.yaml: epochs")],
)
def test_a_damaged_file_is_named(tmp_path, text, message):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_settings(TrainConfig, path, **DATA)


def test_changes_win_over_values_and_values_over_the_file(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("seed: 1\nepochs: 2\noptimiser: {learning_rate: 1, weight_decay: 0.5}\n")
    settings = read_settings(
        TrainConfig, path, ["seed=3", "optimiser.learning_rate=3e-5"], **DATA, epochs=7, model=None
    )
    assert (settings.seed, settings.epochs, settings.model) == (3, 7, "small")
    assert settings.optimiser.learning_rate == 3e-5
    assert settings.optimiser.weight_decay == 0.5  # its neighbours stay


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_what_is_not_a_file_of_settings_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "zeros.yaml").symlink_to("/dev/zero")
    for name in ("pipe", "zeros"):
        with pytest.raises(FileMissingError, match="pipe or device"):
            read_settings(TrainConfig, tmp_path / f"{name}.yaml", **DATA)
    (tmp_path / "latin.yaml").write_bytes("model: ä".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.yaml is not YAML: it is not text in UTF-8"):
        read_settings(TrainConfig, tmp_path / "latin.yaml", **DATA)
    (tmp_path / "large.yaml").write_bytes(b"#" * (MAX_SETTINGS_BYTES + 1))
    with pytest.raises(FileMissingError, match="more than"):
        read_settings(TrainConfig, tmp_path / "large.yaml", **DATA)


def _models(kind):
    return {kind, *(inner for below in kind.__subclasses__() for inner in _models(below))}


def test_no_configuration_takes_unknown_names_or_infinite_numbers():
    for module in pkgutil.walk_packages(dinocell.__path__, "dinocell."):
        if not (  # napari's own settings warn, and it has no settings of ours
            module.name.endswith("__main__")
            or module.name.startswith(("dinocell.evaluation.baselines.r", "dinocell.napari"))
        ):
            importlib.import_module(module.name)
    ours = [kind for kind in _models(BaseModel) if kind.__module__.startswith("dinocell.")]
    assert len(ours) > 20
    for kind in ours:
        assert kind.model_config["allow_inf_nan"] is False, kind
        assert kind.model_config["extra"] == "forbid", kind


@pytest.mark.parametrize("kind", [FinetuneConfig, PretrainConfig])
def test_no_setting_is_infinite(kind):
    name = "learning_rate" if kind is FinetuneConfig else "optimiser.learning_rate"
    given = {"images": "x", "output": "y"} if kind is FinetuneConfig else {}
    with pytest.raises(ConfigError, match=rf"{name}: .*finite"):
        read_settings(kind, None, [f"{name}=.inf"], **given)


def test_start_from_and_published_weights_exclude_each_other():
    with pytest.raises(ConfigError, match="start_from brings a backbone along"):
        read_settings(TrainConfig, None, ["backbone.weights=pretrained", "start_from=x"], **DATA)


@pytest.mark.slow
@given(
    rate=st.floats(1e-8, 10),
    seed=st.integers(0, 2**32 - 1),
    scale=st.tuples(st.floats(0.1, 1), st.floats(1, 4)),
    path=st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=30),
    mode=st.sampled_from([None, "full"]),
)
def test_what_is_printed_is_read_back(tmp_path_factory, rate, seed, scale, path, mode):
    changes = [f"optimiser.learning_rate={rate!r}", f"backbone.mode={mode or 'null'}"]
    data = {"train": [{"path": path, "weight": 0.3}, {"path": "y"}], "validation": [{"path": "x"}]}
    settings = read_settings(TrainConfig, None, changes, seed=seed, augmentation={"scale": scale}, **data)
    file = tmp_path_factory.mktemp("c") / "c.yaml"
    file.write_text(commented_yaml(settings), encoding="utf-8")
    assert read_settings(TrainConfig, file) == settings


def test_every_setting_is_explained_with_its_bounds():
    text = commented_yaml(read_settings(TrainConfig, **DATA))
    assert "# Share" not in text  # lists are written as they are
    lines = text.splitlines()
    values = [number for number, line in enumerate(lines) if not line.lstrip().startswith("#")]
    assert all(lines[number - 1].lstrip().startswith("#") for number in values)
    assert "(> 0, ≤ 1)\n  layer_decay: 1.0" in text
    assert "(mse | bce)\n  kind: mse" in text
    assert "(frozen | full | lora)\n  mode: null" in text


def test_the_documented_configuration_has_every_default():
    file = CONFIGS / "training_config.yaml"
    head, _, settings = file.read_text(encoding="utf-8").partition("\n\n")
    assert head.startswith("#")
    assert settings == commented_yaml(read_settings(TrainConfig, file))
    defaults = read_settings(TrainConfig, **DATA)
    assert (
        read_settings(TrainConfig, file).model_copy(
            update={"train": defaults.train, "validation": defaults.validation}
        )
        == defaults
    )


def test_flags_of_the_command_line_are_settings(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("model: base\nbackbone: {weights: x, unfreeze_last: 2}\nseed: 4\ntrain: [{path: a}]\n")
    flags = f"--config {file} --model large --validation b --validation c --set optimiser.learning_rate=3e-5"
    arguments = ["train", *flags.split(), "--backbone", "a: [b", "--set", "seed=5", "--print-config"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    (tmp_path / "printed.yaml").write_text(result.output)
    settings = read_settings(TrainConfig, tmp_path / "printed.yaml")
    assert (settings.model, settings.seed, settings.optimiser.learning_rate) == ("large", 5, 3e-5)
    assert (settings.backbone.weights, settings.backbone.unfreeze_last) == ("a: [b", 2)
    assert [str(dataset.path) for dataset in settings.validation] == ["b", "c"]
    assert [str(dataset.path) for dataset in settings.train] == ["a"]


def test_a_number_too_long_to_be_written_is_refused_in_words():
    with pytest.raises(ConfigError, match=r"seed: .*not so large a number"):
        read_settings(PretrainConfig, None, ["seed=0x" + "f" * 5000])
