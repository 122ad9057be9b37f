"""Targets of the data of a training: named in the settings, or recorded in the data."""

import pytest
from typer.testing import CliRunner

from dinocell.cli import app
from dinocell.datasets.annotates import write_annotates
from dinocell.errors import InputError
from dinocell.io.settings_files import read_settings
from dinocell.training.config import TrainConfig
from tests.fakes.items import fake_items, make_store


@pytest.fixture
def folders(tmp_path):
    """A folder that records nuclei, one that records nothing, and a store of cells."""
    for name in ("nuclei", "silent"):
        (tmp_path / name).mkdir()
    write_annotates(tmp_path / "nuclei", "nuclei")
    make_store(fake_items(), tmp_path / "store")
    return tmp_path


def config_of(folders, named):
    """Return the settings of a training on data by name, with the target that the settings name."""
    data = [
        {"path": folders / name, **({"annotates": target} if target else {})}
        for name, target in named.items()
    ]
    return read_settings(TrainConfig, train=data, validation=data[:1])


def test_what_the_settings_leave_out_is_as_the_data_record(folders):
    config = config_of(folders, {"nuclei": None, "silent": None, "store": None}).resolved()
    assert [dataset.annotates for dataset in config.train] == ["nuclei", "cells", "cells"]
    assert config.targets == ("cells", "nuclei")
    assert config.validation[0].annotates == "nuclei"
    config = config_of(folders, {"nuclei": "nuclei", "silent": "nuclei"}).resolved()
    assert config.targets == ("nuclei",)
    assert config.resolved() == config


@pytest.mark.parametrize(("name", "target"), [("nuclei", "cells"), ("store", "nuclei")])
def test_settings_that_contradict_the_data_are_refused(name, target, folders):
    with pytest.raises(InputError, match=rf"annotates is '{target}', but .*{name}.* records"):
        config_of(folders, {name: target}).resolved()


def test_the_settings_that_are_printed_can_be_read_back(folders):
    data = folders / "nuclei"
    printed = CliRunner().invoke(
        app, ["train", "--train", str(data), "--validation", str(data), "--print-config"]
    )
    assert printed.exit_code == 0, printed.output
    (folders / "printed.yaml").write_text(printed.output, encoding="utf-8")
    config = read_settings(TrainConfig, folders / "printed.yaml")
    assert config.resolved() == config
    assert config.targets == ("nuclei",)
