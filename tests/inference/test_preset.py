import pytest

from dinocell.errors import ConfigError, FileMissingError
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
