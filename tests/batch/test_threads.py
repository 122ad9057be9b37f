import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dinocell.batch.threads import WriteBehind, read_ahead


@given(items=st.lists(st.integers(), max_size=30), depth=st.integers(1, 5))
def test_items_come_through_in_order_and_all(items, depth):
    assert list(read_ahead(items, depth)) == items


def test_reading_runs_ahead_by_the_depth_and_no_further():
    begun, allowed = [], threading.Semaphore(0)

    def items():
        for number in range(10):
            begun.append(number)
            allowed.release()
            yield number

    ahead = read_ahead(items(), depth=2)
    assert next(ahead) == 0
    for _ in range(4):  # one taken, two waiting, one in hand
        assert allowed.acquire(timeout=10)
    assert not allowed.acquire(timeout=0.3)
    assert begun == [0, 1, 2, 3]
    ahead.close()
    assert threading.active_count() == 1 or all(t.name != "read-ahead" for t in threading.enumerate())


def test_an_error_of_the_reader_arrives_after_the_items_before_it():
    def items():
        yield 1
        raise OSError("the disk is gone")

    ahead = read_ahead(items(), depth=3)
    assert next(ahead) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(ahead)


def test_closing_early_closes_the_source_too():
    closed = threading.Event()

    def items():
        try:
            yield from range(1000)
        finally:
            closed.set()

    ahead = read_ahead(items(), depth=1)
    next(ahead)
    ahead.close()
    assert closed.is_set()


@given(count=st.integers(0, 20), threads=st.integers(1, 3), depth=st.integers(1, 4))
def test_results_come_back_in_order_and_all(count, threads, depth):
    results = []
    with WriteBehind(threads, depth) as writer:
        for number in range(count):
            results += writer.submit(lambda number=number: number * 2)
        results += writer.rest()
    assert results == [2 * number for number in range(count)]


def test_no_more_than_the_depth_is_under_way():
    gate = threading.Event()
    with WriteBehind(1, 2) as writer:
        assert [*writer.submit(gate.wait), *writer.submit(gate.wait)] == []
        threading.Timer(0.2, gate.set).start()
        assert len([*writer.submit(lambda: True)]) >= 1  # had to wait for the oldest
        list(writer.rest())


def test_what_was_begun_is_finished_when_the_block_is_left_by_an_error():
    written = []

    def work():
        with WriteBehind(1, 4) as writer:
            for number in range(3):
                list(writer.submit(lambda number=number: written.append(number)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert written == [0, 1, 2]
