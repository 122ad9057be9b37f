"""A run that is killed, anywhere and often, ends as one that is not."""

import random

import pytest
import torch

from dinocell.models.network.dinocell import DINOCell
from tests.fakes.training import disks, finish, kill_after, make_config, rows_of, start


@pytest.mark.slow
def test_killed_again_and_again_a_run_ends_as_if_it_never_was(tmp_path):
    data = disks(tmp_path / "data")
    longer = {"epochs": 3, "steps_per_epoch": 4, "workers": 1}
    whole = start(make_config(data, tmp_path / "whole", **longer))
    config = make_config(data, tmp_path / "killed", **longer)
    moments = random.Random(0)  # noqa: S311 (moments, no secrets)
    killed = [
        kill_after(start(config), events)
        # the last step of an epoch is said right before its checkpoint is written
        for events in (4, moments.randrange(1, 9), 9, moments.randrange(1, 4))
    ]
    assert any(killed)
    finish(start(config))
    finish(whole)
    assert [row["epoch"] for row in rows_of(tmp_path / "killed")] == ["1", "2", "3"]
    assert rows_of(tmp_path / "killed") == rows_of(tmp_path / "whole")
    for folder in ("last", "best_model"):
        one, other = (
            DINOCell.from_pretrained(tmp_path / name / folder).state_dict() for name in ("whole", "killed")
        )
        assert all(torch.equal(one[key], other[key]) for key in one)
    left = {path.name for path in (tmp_path / "killed").iterdir()}
    assert left == {path.name for path in (tmp_path / "whole").iterdir()}
