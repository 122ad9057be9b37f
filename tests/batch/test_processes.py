"""Several processes, or several batches a step, train as one process does with the batch as a whole.

So do networks without statistics of batches, as all that ship are: those begin from `WITHOUT_STATISTICS`.
"""

import pytest
import torch

from dinocell.models.network.dinocell import DINOCell
from dinocell.training import train
from tests.fakes.training import disks, finish, make_config, rows_of, start

WITHOUT_STATISTICS = "nano"
"""The shipped model, whose normalisation is folded into its convolutions."""


def assert_close_runs(one, other, tolerance):
    assert [row["epoch"] for row in rows_of(one)] == [row["epoch"] for row in rows_of(other)]
    for row, same in zip(rows_of(one), rows_of(other), strict=True):
        for key, value in row.items():
            assert float(value) == pytest.approx(float(same[key]), abs=tolerance), key


@pytest.mark.slow
def test_accumulated_batches_are_one_large_batch(tmp_path):
    """Compare also where ignored pixels and the foreground term make batches differ in weight."""
    data = disks(tmp_path / "data", ignored=True)
    for name, size, accumulate in (("whole", 4, 1), ("parts", 1, 4)):
        config = make_config(
            data, tmp_path / name, "loss.foreground=0.5", batch_size=size, accumulate=accumulate, epochs=1,
            start_from=WITHOUT_STATISTICS,
        )  # fmt: skip
        train(config)
    one, other = (DINOCell.from_pretrained(tmp_path / n / "last").state_dict() for n in ("whole", "parts"))
    for key, value in one.items():
        torch.testing.assert_close(value, other[key], atol=2e-4, rtol=0)
    assert_close_runs(tmp_path / "whole", tmp_path / "parts", 1e-5)


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path):
    data = disks(tmp_path / "data", ignored=True)
    other = disks(tmp_path / "other")
    validation = [{"path": data, "weight": 3}, {"path": other}]
    changes = {"batch_size": 2, "accumulate": 2, "epochs": 3, "ema_decay": 0.9, "validation": validation}
    changes["start_from"] = WITHOUT_STATISTICS
    runs = {}
    for name, launcher in (
        ("one", ()),
        ("two", ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")),
    ):
        config = make_config(data, tmp_path / name, "loss.foreground=0.5", **changes)
        runs[name] = start(config, *launcher)
    for run in runs.values():
        finish(run)
    assert_close_runs(tmp_path / "one", tmp_path / "two", 1e-4)
    one, other = (DINOCell.from_pretrained(tmp_path / n / "last").state_dict() for n in runs)
    for key, value in one.items():
        torch.testing.assert_close(value, other[key], atol=1e-3, rtol=0)
