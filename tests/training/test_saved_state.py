"""State of a run of any kind, and the rows beside it: saved, restored, and refused where it does not fit."""

from dataclasses import dataclass

import pytest
import torch

from dinocell.errors import CheckpointError, OutputError
from dinocell.training.run_folder import METRICS_FILE, add_row, create_run_folder, forget_later_rows
from dinocell.training.saved_state import encode_state, restore_state

SETTINGS = {"seed": 0, "optimiser": {"learning_rate": 1e-3, "betas": [0.9, 0.99]}}


class Counter:
    """The least that can be saved."""

    def __init__(self, weight=0.0, epoch=0):
        self.weight, self.epoch = torch.tensor(weight), epoch

    def contents(self):
        return {"weight": self.weight, "epoch": self.epoch}

    def restore(self, saved):
        self.weight.copy_(saved["weight"])
        self.epoch = saved["epoch"]


@dataclass(frozen=True)
class Row:
    """A row of metrics."""

    epoch: int
    loss: float


@pytest.fixture
def state_file(tmp_path):
    path = tmp_path / "state.pt"
    path.write_bytes(encode_state(Counter(0.1, 3), SETTINGS))
    return path


def test_a_state_comes_back_bit_by_bit(state_file):
    restored = Counter()
    restore_state(restored, state_file, SETTINGS)
    assert torch.equal(restored.weight, torch.tensor(0.1))
    assert restored.epoch == 3


def test_settings_that_differ_are_named_with_their_sections(state_file):
    other = {"seed": 1, "optimiser": {"learning_rate": 2e-3, "betas": [0.9, 0.99]}, "new": True}
    restored = Counter()
    with pytest.raises(CheckpointError, match=r"another seed, optimiser\.learning_rate, new: resume with"):
        restore_state(restored, state_file, other)
    assert restored.epoch == 0


@pytest.mark.parametrize("damage", [b"", b"garbage", None])
def test_a_state_that_is_damaged_or_of_another_layout_is_refused(state_file, damage):
    content = bytes(encode_state(Counter(), SETTINGS))
    state_file.write_bytes(content[: len(content) // 2] if damage is None else damage)
    with pytest.raises(CheckpointError, match=r"state\.pt cannot be resumed"):
        restore_state(Counter(), state_file, SETTINGS)

    class WithoutEpoch(Counter):
        def restore(self, saved):
            super().restore({"weight": saved["weight"]})

    state_file.write_bytes(encode_state(Counter(), SETTINGS))
    with pytest.raises(CheckpointError, match=r"cannot be resumed \('epoch'\)"):
        restore_state(WithoutEpoch(), state_file, SETTINGS)


def test_a_row_replaces_itself_and_all_after_it(tmp_path):
    for row in (Row(1, 0.5), Row(2, 0.4), Row(3, 0.3), Row(2, 0.45)):
        add_row(tmp_path, row)
    assert (tmp_path / METRICS_FILE).read_text().split() == ["epoch,loss", "1,0.5", "2,0.45"]
    forget_later_rows(tmp_path, Row, 1)
    assert (tmp_path / METRICS_FILE).read_text().split() == ["epoch,loss", "1,0.5"]
    (tmp_path / METRICS_FILE).write_text("epoch,loss\nx,1\n")
    with pytest.raises(CheckpointError, match="no row an epoch any more"):
        add_row(tmp_path, Row(2, 0.4))


def test_a_folder_that_holds_a_run_is_only_resumed(tmp_path):
    folder = tmp_path / "a" / "run"
    create_run_folder(folder, ("last",), resume=False)
    (folder / "other").mkdir()
    create_run_folder(folder, ("last",), resume=False)
    (folder / "last").mkdir()
    with pytest.raises(OutputError, match="holds a run already: go on with --resume"):
        create_run_folder(folder, ("last",), resume=False)
    create_run_folder(folder, ("last",), resume=True)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot make run folder"):
        create_run_folder(tmp_path / "file" / "run", (), resume=False)
