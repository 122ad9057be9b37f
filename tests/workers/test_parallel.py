"""Order, how far ahead, and what is left when something goes wrong."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dinocell.errors import FileFormatError, InputError, WorkerError
from dinocell.workers.pool import OrderedPool

ROOT = Path(__file__).parents[2]


def square(number, plus=0):
    return number**2 + plus


def square_unevenly(number):
    time.sleep(0.02 * (number % 3 == 0))
    return number**2


def double(data):
    return data + data


def raise_for_three(number):
    if number == 3:
        raise FileFormatError("three is damaged")
    return number


def die(number):
    if number == 2:
        os._exit(9)
    return number


def return_generator(number):
    return (n for n in range(number))


class DiesWhenSent:
    """Large result, whose process is killed as soon as its pipe is full."""

    def __reduce__(self):
        threading.Thread(target=self.die_when_blocked).start()
        return bytes, (bytes(30_000_000),)

    @staticmethod
    def die_when_blocked():
        waits_for = Path(f"/proc/self/task/{os.getpid()}/wchan")
        while not re.search("pipe|sock|unix", waits_for.read_text()):
            pass
        os._exit(9)


def die_while_sending(number):
    return DiesWhenSent() if number == 1 else number


def process_id(_):
    time.sleep(0.05)
    return os.getpid()


@pytest.fixture(scope="module")
def pool():
    with OrderedPool(2) as running:
        yield running
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("function", [square, square_unevenly])
def test_results_come_in_the_order_of_the_items_and_as_without_processes(pool, function):
    with OrderedPool(0) as alone:
        expected = list(alone.map(function, range(12)))
    assert expected == [(number, number**2) for number in range(12)]
    assert list(pool.map(function, range(12))) == expected
    assert list(pool.map(function, [])) == []


def test_arguments_are_the_same_for_every_item(pool):
    assert [result for _, result in pool.map(square, [1, 2], 10)] == [11, 14]


def test_work_is_done_in_other_processes(pool):
    ids = {result for _, result in pool.map(process_id, range(8))}
    assert os.getpid() not in ids
    assert len(ids) == 2
    with OrderedPool(0) as alone:
        assert [result for _, result in alone.map(process_id, [1])] == [os.getpid()]


def test_few_items_are_taken_before_they_are_asked_for(pool):
    taken, ahead = [], []
    items = (taken.append(number) or number for number in range(40))
    for given, _ in enumerate(pool.map(square, items)):
        ahead.append(len(taken) - given)
    assert len(ahead) == 40
    assert 1 < max(ahead) <= 2 * 2 + 1  # how many depends on how fast the processes are


def test_what_a_function_raises_is_raised_here_and_the_pool_goes_on(pool):
    results = pool.map(raise_for_three, range(9))
    assert [next(results) for _ in range(3)] == [(0, 0), (1, 1), (2, 2)]
    with pytest.raises(FileFormatError, match="three is damaged"):
        next(results)
    assert list(pool.map(square, [5])) == [(5, 25)]


def test_a_closed_map_lets_the_pool_go_on(pool):
    results = pool.map(square_unevenly, range(100))
    next(results)
    results.close()
    assert list(pool.map(square, [6])) == [(6, 36)]


def test_a_process_that_dies_is_told_and_leaves_no_other():
    before = set(multiprocessing.active_children())
    with OrderedPool(2) as broken:
        with pytest.raises(WorkerError, match="fewer --workers"):
            list(broken.map(die, range(20)))
        assert list(broken.map(square, [1])) == [(1, 1)]
    assert set(multiprocessing.active_children()) == before


@pytest.mark.skipif(not Path("/proc/self/wchan").exists(), reason="needs /proc")
def test_a_process_that_dies_while_it_sends_its_result_is_told():
    with OrderedPool(2) as pool, pytest.raises(WorkerError, match="a process died"):
        list(pool.map(die_while_sending, range(6)))


def test_what_cannot_be_sent_is_told(capfd):
    with OrderedPool(2) as pool:  # one of its own, whose processes print where `capfd` reads
        with pytest.raises((AttributeError, TypeError), match=r"pickle|local"):
            list(pool.map(lambda number: number, [1]))
        with pytest.raises(WorkerError):
            list(pool.map(return_generator, [1]))
        assert "cannot pickle 'generator' object" in capfd.readouterr().err
        assert list(pool.map(square, [7])) == [(7, 49)]


def test_where_another_process_failed_is_told(pool):
    with pytest.raises(FileFormatError) as caught:
        list(pool.map(raise_for_three, [3]))
    assert str(caught.value) == "three is damaged"
    assert "in raise_for_three" in caught.value.__notes__[0]


def test_large_items_and_results_do_not_wait_for_each_other(pool):
    items = [bytes(3_000_000)] * 12
    assert [len(result) for _, result in pool.map(double, items)] == [6_000_000] * 12


def test_fewer_processes_than_none_are_refused():
    with pytest.raises(InputError, match="workers is -1"):
        OrderedPool(-1)


SCRIPT = """
import os, time
from dinocell.workers.pool import OrderedPool
from tests.workers.test_parallel import process_id

if __name__ == "__main__":
    with OrderedPool(2) as pool:
        for _, worker in pool.map(process_id, range(10_000)):
            print(worker, flush=True)
"""


UNGUARDED = """
from dinocell.workers.pool import OrderedPool

with OrderedPool(1) as pool:
    list(pool.map(abs, [1]))
"""


def test_a_script_that_would_start_itself_over_and_over_is_told_what_it_lacks(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED)
    said = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60).stderr
    assert "WorkerError: a process died" in said.splitlines()[-1]
    assert 'if __name__ == "__main__"' in said.splitlines()[-1]


def is_alive(number):
    """Return whether a process runs; one that ended may be kept for a parent that never asks."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{number}/status").read_text()
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize("how", [getattr(signal, "SIGKILL", signal.SIGTERM), signal.SIGINT])
def test_processes_end_with_the_one_that_started_them(tmp_path, how):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as running:
        workers = {int(running.stdout.readline()) for _ in range(8)}
        if how == signal.SIGINT:  # as a terminal sends Ctrl-C, to all of them
            os.killpg(running.pid, how)
        else:
            running.kill()
        _, errors = running.communicate(timeout=30)
    deadline = time.monotonic() + 30
    while any(map(is_alive, workers)):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.01)
    assert errors.count("Traceback") == (1 if how == signal.SIGINT else 0)
