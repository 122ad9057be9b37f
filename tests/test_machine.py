"""Threads of a process are shared among what works at once in it."""

import cv2
import pytest

from dinocell.batch.run import _opencv_threads
from dinocell.machine import shared_threads, thread_count


@pytest.fixture(autouse=True)
def twelve(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "12")


def test_parts_share_the_threads_and_give_them_back():
    assert thread_count() == 12
    with shared_threads(3):
        assert thread_count() == 4
        with shared_threads(2):
            assert thread_count() == 2
        with shared_threads(8):
            assert thread_count() == 1  # more parts than threads
    with pytest.raises(KeyError), shared_threads(3):
        raise KeyError
    assert thread_count() == 12


def test_opencv_has_the_share_of_a_part():
    before = cv2.getNumThreads()
    cv2.setNumThreads(6)
    try:
        with shared_threads(4), _opencv_threads():
            assert cv2.getNumThreads() == 3
        assert cv2.getNumThreads() == 6
        with _opencv_threads():
            assert cv2.getNumThreads() == 6  # no more than before
    finally:
        cv2.setNumThreads(before)
