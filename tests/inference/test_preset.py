import numpy as np
import pytest

from dinocell import DINOCellPipeline, segment
from dinocell.errors import ConfigError, DINOCellError, FileMissingError
from dinocell.inference.preset import Preset, read_preset, write_preset
from dinocell.postprocess.thresholds import Thresholds


def test_a_preset_survives_a_round_trip(tmp_path):
    preset = Preset(
        model="nano", channel=2, diameter=17.5, thresholds=Thresholds(merge=0.7), tuned={"images": ["µ"]}
    )
    for channel in (2, "2", "name:2", "DAPI", None):
        write_preset(tmp_path / "p.yaml", preset.model_copy(update={"channel": channel}))
        assert read_preset(tmp_path / "p.yaml").channel == channel
    write_preset(tmp_path / "p.yaml", preset)
    assert read_preset(tmp_path / "p.yaml") == preset


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: nano\nthresholds: {merg: 1}", r"thresholds\.merg"),
        ("model: nano\nthresholds: {}\ndiameter: -1", "diameter"),
        ("model: nano\nthresholds: {}\nchannel: -1", "channel: .*expected a name or a number from 0, not -1"),
        (
            "model: nano\nthresholds: {}\nchannel: yes",
            "channel: .*expected a name or a number from 0, not True",
        ),
        ("model: nano\nthresholds: {}\ndiameter: .inf", "diameter: .*pixels above 0"),
        ("model: nano\nthresholds: {merge: .nan}", r"thresholds\.merge: .*finite"),
        ("- 1", "holds no settings"),
        ("thresholds: {}", "is not a preset: model: Field required"),
        ("a: [", "is not YAML"),
        ("!!python/object/apply:os.system ['true']", "is not YAML"),
    ],
)
def test_what_is_no_preset_is_refused(tmp_path, text, message):
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_preset(tmp_path / "p.yaml")


def test_a_date_that_is_none_is_read_as_it_stands(tmp_path):
    (tmp_path / "p.yaml").write_text("model: nano\nthresholds: {}\ntuned: {day: 2026-02-30}")
    assert read_preset(tmp_path / "p.yaml").tuned == {"day": "2026-02-30"}


def test_a_missing_preset_is_named(tmp_path):
    with pytest.raises(FileMissingError, match="dinocell tune"):
        read_preset(tmp_path / "p.yaml")


def test_a_run_takes_a_preset_as_a_file_a_mapping_or_an_object(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    preset = Preset(model="nano", channel=1, diameter=20, thresholds=Thresholds(merge=0.7), min_size=4)
    write_preset(tmp_path / "p.yaml", preset)
    pipeline = DINOCellPipeline("nano", device="cpu", fill_holes=True)
    whole = pipeline.run(image[:, :, 1], diameter=20, merge=0.7, min_size=4, thresholds=Thresholds(merge=0.7))
    for given in (preset, tmp_path / "p.yaml", str(tmp_path / "p.yaml"), preset.model_dump()):
        found = pipeline.run(image, preset=given)
        assert np.array_equal(found.distance_map, whole.distance_map)
        assert (found.parameters.thresholds.merge, found.parameters.min_size) == (0.7, 4)
    assert found.parameters.diameter == 20
    assert pipeline.run(image, preset=preset, min_size=9).parameters.min_size == 9
    written = segment(image, preset=preset.model_copy(update={"diameter": None})).parameters
    assert written.thresholds == preset.thresholds


def test_settings_that_a_preset_does_not_hold_stay(tmp_path):
    (tmp_path / "p.yaml").write_text("model: nano\nthresholds: {}\n", encoding="utf-8")
    pipeline = DINOCellPipeline("nano", device="cpu", min_size=7)
    assert pipeline.run(np.zeros((9, 9)), preset=tmp_path / "p.yaml").parameters.min_size == 7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "small"}, "tuned for model 'small', not for 'nano'|no trained weights"),
        ({"channel": "DAPI"}, "for channel 'DAPI', which an array of shape .* does not have"),
        ({"channel": 3}, "for channel 3, which an array of shape"),
    ],
)
def test_a_preset_for_another_model_or_channel_is_refused(changes, message):
    preset = Preset(model="nano", thresholds=Thresholds()).model_copy(update=changes)
    with pytest.raises(DINOCellError, match=message):
        DINOCellPipeline("nano", device="cpu").run(np.zeros((9, 9, 3)), preset=preset)


def test_a_mapping_that_is_not_a_preset_is_refused():
    with pytest.raises(ConfigError, match=r"preset is not a preset: thresholds\.merg"):
        DINOCellPipeline("nano", device="cpu").run(
            np.zeros((9, 9)), preset={"model": "nano", "thresholds": {"merg": 1}}
        )
