"""Both executors keep one contract; processes die, come late, or are of another version."""

import itertools
import logging
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dinocell import errors
from dinocell.errors import FileFormatError, InputError, WorkerError
from dinocell.workers import cluster_start as start
from dinocell.workers import executor as executor_module
from dinocell.workers.cluster_start import open_executor
from dinocell.workers.executor import RETRIES, HereExecutor
from tests.fakes import cluster_tasks as tasks

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")

ROOT = Path(__file__).parents[2]
HAS_PROC = Path("/proc/self/status").exists()


@pytest.fixture(scope="module")
def two_processes():
    before = dict(os.environ)
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        open_executor(workers=2) as executor,
    ):
        yield executor
    assert dict(os.environ) == before


@pytest.fixture(scope="module")
def gpu_cluster():
    """Start a scheduler with one worker of four threads and a GPU, in this process, but reached over TCP."""
    with distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=4,
        processes=False,
        protocol="tcp://",
        dashboard_address=":0",
        resources={"GPU": 1},
    ) as running:
        yield running.scheduler_address


@pytest.fixture(params=["here", "processes", "attached"])
def executor(request):
    """Yield every executor, for the tests of what they have in common."""
    if request.param == "processes":
        yield request.getfixturevalue("two_processes")
        return
    attached = request.param == "attached"
    with open_executor(scheduler=request.getfixturevalue("gpu_cluster") if attached else None) as opened:
        yield opened


# The contract


@pytest.mark.slow
@pytest.mark.parametrize("on_device", [False, True])
def test_every_item_comes_once_with_its_result(executor, on_device):
    expected = [(number, number**2 + 5) for number in range(50)]
    assert sorted(executor.map(tasks.square, range(50), 5, on_device=on_device)) == expected


def test_no_items_give_no_results(executor):
    assert list(executor.map(tasks.square, [])) == []


def test_items_are_taken_as_they_are_needed(executor):
    taken = []
    items = (taken.append(number) or number for number in itertools.count())
    results = executor.map(tasks.square, items)
    given = list(itertools.islice(results, 50))
    results.close()
    assert {result for _, result in given} <= {number**2 for number in taken}
    assert 50 <= len(taken) <= 50 + 32
    assert list(executor.map(tasks.square, [3])) == [(3, 9)]  # and what is left does not stand in the way


def test_what_a_function_raises_is_raised_here(executor):
    with pytest.raises(FileFormatError, match=r"^three is damaged$"):
        list(executor.map(tasks.raise_for_three, range(9)))
    assert list(executor.map(tasks.raise_for_three, [4])) == [(4, 4)]


def test_what_the_items_raise_is_raised_here(executor):
    def items():
        yield 1
        raise FileFormatError("no more items")

    with pytest.raises(FileFormatError, match="no more items"):
        list(executor.map(tasks.square, items()))


def test_what_failed_is_tried_again(executor, tmp_path):
    results = sorted(executor.map(tasks.fail_once, range(5), str(tmp_path)))
    assert results == [(number, number) for number in range(5)]


def test_what_fails_again_and_again_is_given_up(executor, tmp_path):
    with pytest.raises(OSError, match="7 is gone"):
        list(executor.map(tasks.fail_always, [7], str(tmp_path)))
    assert (tmp_path / "calls").stat().st_size == 1 + RETRIES


KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.DINOCellError)
]


@pytest.mark.parametrize("kind", KINDS)
def test_our_errors_are_the_same_after_a_journey(kind):
    arrived = pickle.loads(pickle.dumps(kind("what, where")))  # noqa: S301
    assert type(arrived) is kind
    assert str(arrived) == "what, where"


# Where tasks run


def test_without_arguments_tasks_run_here(caplog, tmp_path):
    with open_executor() as executor:
        assert isinstance(executor, HereExecutor)
        assert (executor.workers, executor.dashboard) == (1, None)
        assert list(executor.map(tasks.process_id, [1])) == [(1, os.getpid())]
        list(executor.map(tasks.fail_once, [6], str(tmp_path)))
    assert "6 failed (6 hiccups): trying again" in caplog.text


def test_dask_is_loaded_when_it_is_needed():
    script = (
        "import sys; from dinocell.workers.cluster_start import open_executor\n"
        "with open_executor() as executor: print(list(executor.map(abs, [-1])))\n"
        "print({'dask', 'distributed'} & set(sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout.split("\n")[:2] == ["[(-1, 1)]", "set()"]


def test_workers_are_processes(two_processes):
    assert two_processes.workers == 2
    assert two_processes.dashboard.startswith("http://127.0.0.1:")
    ids = {result for _, result in two_processes.map(tasks.process_id, range(40))}
    assert len(ids) == 2
    assert os.getpid() not in ids


def test_at_most_one_task_at_a_time_has_a_gpu(gpu_cluster):
    with open_executor(scheduler=gpu_cluster) as executor:
        alone = max(most for _, most in executor.map(tasks.count_at_once, range(12), False, on_device=True))
        locked = max(most for _, most in executor.map(tasks.count_at_once, range(12), True))
        together = max(most for _, most in executor.map(tasks.count_at_once, range(12), False))
    assert (alone, locked) == (1, 1)
    assert together > 1  # so that the two above could have failed


def test_closing_drops_what_has_not_begun(two_processes, tmp_path):
    results = two_processes.map(tasks.wait_after_the_first, itertools.count(), str(tmp_path))
    assert next(results) == (0, 0)
    while not list(tmp_path.glob("*.pid")):
        time.sleep(0.01)
    results.close()
    while any(two_processes._client.processing().values()):  # until the scheduler has been told
        time.sleep(0.01)
    (tmp_path / "released").touch()
    assert list(two_processes.map(tasks.square, [5])) == [(5, 25)]
    assert len(list(tmp_path.glob("*.pid"))) <= 4  # of 32: those at work, and one behind each at most


# Processes that die


def test_a_killed_process_loses_nothing(two_processes, tmp_path):
    results = list(two_processes.map(tasks.wait_to_be_released, _killing(tmp_path), str(tmp_path)))
    assert sorted(results) == [(number, number**2) for number in range(20)]
    begun = [path.name.split("-")[0] for path in tmp_path.glob("*.pid")]
    assert len(begun) == 20 + 1  # only what was lost was run again


def _killing(folder):
    """Yield items; once two processes are at some, kill one of them, and release the other."""
    yield from range(10)
    deadline = time.monotonic() + tasks.PATIENCE
    while len(begun := _begun(folder)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(begun[0], signal.SIGKILL)
    (folder / "released").touch()
    yield from range(10, 20)


def _begun(folder):
    return sorted({int(path.read_text()) for path in folder.glob("*.pid")})


@pytest.mark.slow
def test_a_task_that_kills_every_process_is_told(two_processes):
    with pytest.raises(WorkerError, match=r"2 workers died over one task.*smaller blocks"):
        list(two_processes.map(tasks.die, [1]))
    assert list(two_processes.map(tasks.square, [2])) == [(2, 4)]


SCRIPT = """
import sys
from dinocell.workers.cluster_start import open_executor
from tests.fakes.cluster_tasks import process_id

if __name__ == "__main__":
    with open_executor(workers=int(sys.argv[1])) as executor:
        for _, worker in executor.map(process_id, range(1_000_000)):
            print(worker, flush=True)
"""


def is_alive(number):
    """Return whether a process runs; one that ended may be kept for a parent that never asks."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{number}/status").read_text()
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not HAS_PROC, reason="needs /proc")
@pytest.mark.parametrize(
    ("how", "count"), [(getattr(signal, "SIGKILL", signal.SIGTERM), 1), (signal.SIGINT, 2)]
)
def test_processes_end_with_the_one_that_started_them(tmp_path, how, count):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, script, str(count)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as running:
        workers = {int(running.stdout.readline()) for _ in range(40)}
        if how == signal.SIGINT:  # as a terminal sends Ctrl-C, to all of them
            os.killpg(running.pid, how)
        else:
            running.kill()
        _, said = running.communicate(timeout=60)
    assert len(workers) == count
    deadline = time.monotonic() + tasks.PATIENCE
    while any(map(is_alive, workers)):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.01)
    if how == signal.SIGINT:
        assert said.startswith("Traceback"), said
        assert said.splitlines()[-1] == "KeyboardInterrupt"
        assert said.count("Traceback") == 1


# Schedulers of others


def test_processes_that_are_all_gone_are_told(monkeypatch):
    monkeypatch.setattr(executor_module, "LOST_SECONDS", 0.1)
    monkeypatch.setattr(executor_module, "_COUNT_SECONDS", 0.05)
    with open_executor(workers=1) as executor:
        executor._client.cluster.scale(0)
        with pytest.raises(WorkerError, match=r"all processes have ended .*fewer --workers"):
            list(executor.map(tasks.square, itertools.repeat(3)))


def test_a_scheduler_is_found_by_its_address_and_outlives_the_executor(gpu_cluster):
    for _ in range(2):
        with open_executor(scheduler=gpu_cluster) as executor:
            assert executor.workers == 1
            assert list(executor.map(tasks.square, [4])) == [(4, 16)]


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:9", "nonsense", "carrier://pigeon:1", "tcp://no.invalid:1"]
)
def test_an_address_where_no_scheduler_is_is_told(monkeypatch, address):
    monkeypatch.setattr(start, "CONNECT_SECONDS", 0.3)
    with (
        pytest.raises(InputError, match=f"no dask scheduler answers at {address} .*dask scheduler"),
        open_executor(scheduler=address),
    ):
        pass


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"scheduler": "tcp://a:1", "workers": 2}, "--scheduler tcp://a:1 and --workers 2 are both"),
        ({"workers": 0}, "workers is 0, expected at least 1"),
        ({"workers": 1, "threads": 0}, "threads is 0, expected at least 1"),
    ],
)
def test_impossible_arguments_are_told(arguments, said):
    with pytest.raises(InputError, match=said), open_executor(**arguments):
        pass


def test_another_version_there_is_told(two_processes, monkeypatch):
    address = two_processes._client.scheduler.address
    for module in (start, executor_module):
        monkeypatch.setattr(module, "__version__", "99.1")
    with (
        pytest.raises(InputError, match=r"has dinocell 0.*, expected 99\.1"),
        open_executor(scheduler=address),
    ):
        pass
    with pytest.raises(InputError, match=r"has dinocell 0.*, expected 99\.1"):  # as of one that came later
        list(two_processes.map(tasks.square, [1]))


BARE_WORKER = """
import sys
sys.modules["dinocell"] = None  # so that importing it fails, as where it is not installed
from distributed.cli.dask_worker import main
main()
"""


def test_a_worker_that_comes_late_and_without_the_package_is_told(monkeypatch, caplog):
    monkeypatch.setattr(start, "PATIENCE_SECONDS", 0.01)
    with distributed.LocalCluster(
        n_workers=0, processes=False, protocol="tcp://", dashboard_address=":0"
    ) as running:
        address = running.scheduler_address
        command = [sys.executable, "-c", BARE_WORKER, address, "--no-nanny", "--no-dashboard"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as worker:
            try:
                with (
                    pytest.raises(InputError, match=r"cannot import dinocell .* install it there"),
                    open_executor(scheduler=address),
                ):
                    pass
            finally:
                worker.kill()
    assert f"dask worker {address}" in caplog.text


def test_a_scheduler_that_dies_is_told(tmp_path):
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, protocol="tcp://", dashboard_address=":0"
        ) as running,
        open_executor(scheduler=running.scheduler_address) as executor,
    ):
        results = executor.map(tasks.square, itertools.count())
        next(results)
        running.close()
        with pytest.raises(WorkerError, match="the dask scheduler is lost"):
            for _ in results:
                pass


def test_logging_is_left_as_it_was(two_processes):
    level = logging.getLogger("distributed").level
    with open_executor(scheduler=two_processes._client.scheduler.address):
        pass
    assert logging.getLogger("distributed").level == level
