"""Workers that are killed at work on a large image lose nothing."""

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dinocell.large.stage_done import StageDone
from dinocell.workers.cluster_start import open_executor
from tests.fakes.large_images import ECHO, check, in_memory, read_parts, stored, true_map
from tests.fakes.large_networks import PATIENCE, Echo, events, finish
from tests.fakes.zarr import write_ome_zarr

pytest.importorskip("zarr")
pytest.importorskip("distributed")

ALL = {"formats": ("parquet", "geojson")}


@pytest.fixture
def network(tmp_path):
    """A network whose calls are counted."""
    folder = tmp_path / "calls"
    folder.mkdir()
    return Echo(str(folder))


@pytest.mark.slow
def test_workers_that_are_killed_lose_nothing(tmp_path, network):
    """Kill one of two at work on the map; then the other one, at work on the cells."""
    image = true_map((190, 240))
    source = write_ome_zarr(tmp_path / "s.zarr", image, "yx", version="0.5")
    held, killed = replace(network, held=True), []
    killer = threading.Thread(target=kill_one_at_work, args=(held, killed))
    with open_executor(workers=2) as executor:
        killer.start()
        for event in events(source, tmp_path / "a.zarr", held, executor=executor, **ALL):
            if isinstance(event, StageDone) and (event.stage, event.done) == ("flood", 1):
                survivor, *_ = set(network.calls()) - set(killed)
                killed.append(survivor)
                os.kill(survivor, signal.SIGKILL)
        killer.join()
    assert len(killed) == 2
    assert len(network.calls()) == 4 + 1  # the block that the first was at was done again
    here = finish(source, tmp_path / "b.zarr", ECHO, **ALL)
    check(event, in_memory(image)[1])
    np.testing.assert_array_equal(stored(event.labels), stored(here.labels))
    for name in ("cells.parquet", "polygons.geojson"):
        first, second = (tmp_path / f"{stem}_{name}" for stem in "ab")
        assert sorted(file.name for file in first.iterdir()) == sorted(file.name for file in second.iterdir())
    table, other = (read_parts(result.beside[0]) for result in (event, here))
    for column in table:
        np.testing.assert_array_equal(table[column], other[column])


def kill_one_at_work(network, killed):
    """Wait until two processes are at tiles, kill one, and let the other go on."""
    deadline = time.monotonic() + PATIENCE
    while len(begun := set(network.calls())) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    killed.append(min(begun))
    os.kill(killed[0], signal.SIGKILL)
    (Path(network.folder) / "released").touch()
