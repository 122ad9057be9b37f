"""The number of processes follows from cores, memory and images."""

import pytest

from dinocell.workers import automatic
from dinocell.workers.automatic import Crew, crew_for_blocks, crew_for_images


@pytest.fixture
def machine(monkeypatch):
    def of(cores, gibibytes):
        monkeypatch.setattr(automatic, "thread_count", lambda: cores)
        size = None if gibibytes is None else gibibytes * 2**30
        monkeypatch.setattr(automatic, "memory_bytes", lambda: (size, size))

    return of


@pytest.mark.parametrize(
    ("cores", "gibibytes", "images", "threads", "expected"),
    [
        (2, 24, 1000, None, Crew(None, 2)),
        (8, 64, 1000, None, Crew(None, 8)),
        (16, 64, 1000, None, Crew(2, 8)),
        (64, 256, 1000, None, Crew(8, 8)),
        (64, 256, 40, None, Crew(5, 12)),  # fewer images than would keep more of them busy
        (64, 256, 15, None, Crew(None, 64)),
        (64, 12, 1000, None, Crew(4, 16)),  # the memory is not enough for more
        (64, None, 1000, None, Crew(8, 8)),  # a system that does not tell
        (64, 256, 1000, 4, Crew(16, 4)),
    ],
)
def test_images(machine, cores, gibibytes, images, threads, expected):
    machine(cores, gibibytes)
    assert crew_for_images(images, threads) == expected


@pytest.mark.parametrize(
    ("cores", "gibibytes", "threads", "expected"),
    [
        (2, 24, None, Crew(None, 2)),
        (4, 24, None, Crew(2, 2)),
        (16, 24, None, Crew(8, 2)),
        (16, 24, 1, Crew(8, 1)),
    ],
)
def test_blocks(machine, cores, gibibytes, threads, expected):
    machine(cores, gibibytes)
    assert crew_for_blocks(threads) == expected


def test_a_crew_is_named():
    assert str(Crew(None, 2)) == "this process alone"
    assert str(Crew(4, 8)) == "4 processes, 8 threads each"
