"""A batch over two processes gives what it gives in one, whatever dies meanwhile."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from dinocell.batch.outcomes import PlaneOutcome, SourceRead
from dinocell.batch.run import segment_files
from dinocell.batch.settings import BatchSettings
from dinocell.batch.sources import SourceFile, find_sources
from dinocell.batch.spread import group_sources, segment_task, spread_files
from dinocell.cli import app
from dinocell.errors import InputError, WorkerError
from dinocell.inference.remote_model import RemoteModel
from dinocell.io.saving import write_image
from dinocell.io.selection import Selection
from dinocell.workers.cluster_start import open_executor
from dinocell.workers.executor import HereExecutor
from tests.cases import disk
from tests.examples import examples
from tests.fakes import cluster_tasks as tasks

dask = pytest.importorskip("dask")
pytest.importorskip("distributed")  # first, as what it adds to dask's settings is gone after `config.set`

NANO = RemoteModel.named("nano", device="cpu")


@pytest.fixture(scope="module")
def executor():
    """Yield two processes; a task over which two of them died is given up."""
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        open_executor(workers=2) as two_processes,
    ):
        yield two_processes


@pytest.fixture(autouse=True)
def one_thread():
    """Use one thread, as the workers do, so that numbers are the same to the last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write four sound images, a damaged one, and a stack whose first slice is named as another one."""
    tmp_path = tmp_path_factory.mktemp("batch")
    for number in range(4):
        (tmp_path / "in" / f"day {number % 2}").mkdir(parents=True, exist_ok=True)
        write_image(tmp_path / "in" / f"day {number % 2}" / f"i{number}.png", disks(number))
    (tmp_path / "in" / "broken.png").write_bytes(b"no image")
    tifffile.imwrite(tmp_path / "in" / "a.tif", np.stack([disks(7), disks(8)]), photometric="minisblack")
    write_image(tmp_path / "in" / "a_z000.png", disks(9))
    return tmp_path


@pytest.fixture
def files(folder, monkeypatch):
    """The files of that folder, which is the current one."""
    monkeypatch.chdir(folder)
    searched = find_sources(["in"], recursive=True)
    found, failures = searched.sources, searched.failures
    assert (len(found), failures) == (7, [])
    return found


@pytest.fixture(scope="module")
def alone_once():
    """Return the list for the events of a batch in one process, empty at first."""
    return []


@pytest.fixture
def alone(files, alone_once):
    """Return the events of the batch in one process, whose results are in the folder ``alone``."""
    if not alone_once:
        alone_once += segment_files(files, settings_for(Path("alone")), NANO.load_pipeline())
    return alone_once


def disks(shift):
    mask = disk((96, 96), (30, 30 + shift), 12) | disk((96, 96), (65, 60), 12)
    return (40 + 120 * mask).astype(np.uint8)


def settings_for(output):
    pipeline = NANO.load_pipeline()
    return BatchSettings(
        output,
        ("tif", "csv", "distance"),
        "nano",
        NANO.sha256,
        True,
        pipeline.predictor.preprocessing,
        pipeline.settings,
        selection=Selection(all_planes=True),
    )


def outcomes(events):
    return [event for event in events if isinstance(event, PlaneOutcome)]


def told(events, output):
    """Return what a user sees, without the name of the folder."""
    return sorted((o.source, o.name, o.status, o.message.replace(f"{output}/", "")) for o in outcomes(events))


def read(events):
    return sorted(event.source for event in events if isinstance(event, SourceRead))


def statuses(events):
    return [outcome.status for outcome in outcomes(events)]


def contents(folder):
    """Read all files; a killed process leaves hidden ones, which the next command removes."""
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.mark.slow
def test_workers_have_few_threads(executor):
    assert list(executor.map(tasks.threads, [0])) == [(0, (1, 1, "1"))]


@pytest.mark.slow
def test_two_processes_give_what_one_gives_and_skip_it_then(executor, files, alone):
    spread = list(spread_files(files, settings_for(Path("spread")), NANO, executor))
    assert sorted(statuses(spread)) == ["done"] * 6 + ["failed"] * 2
    assert told(spread, "spread") == told(alone, "alone")
    assert any("in/a_z000.png would have results named a_z000, as in/a.tif has" in row[3]
               for row in told(spread, "spread"))  # fmt: skip
    assert read(spread) == read(alone) == sorted(source.path for source in files)
    assert contents(Path("spread")) == contents(Path("alone"))
    again = list(spread_files(files, settings_for(Path("spread")), NANO, executor))
    assert sorted(statuses(again)) == ["failed"] * 2 + ["skipped"] * 6


def test_the_command_spreads_a_batch(executor, tmp_path):
    (tmp_path / "in").mkdir()
    write_image(tmp_path / "in" / "a.png", disks(0))
    address = executor._client.scheduler.address
    arguments = ["segment", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--scheduler", address]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "2 workers; watch them at http" in result.output
    assert "a.png: 2 cells" in result.output
    assert "1/1" in result.output
    assert (tmp_path / "out" / "a_labels.tif").exists()
    refused = CliRunner().invoke(app, [*arguments, "--allow-untrained"])
    assert refused.exit_code == 1
    assert "--allow-untrained works in one process" in str(refused.exception)


def test_other_weights_on_a_worker_end_the_batch(executor, tmp_path):
    write_image(tmp_path / "a.png", disks(0))
    sources = find_sources([str(tmp_path)]).sources
    other = replace(NANO, sha256="0" * 64)
    with pytest.raises(InputError, match="'nano' has other weights on this worker"):
        list(spread_files(sources, settings_for(tmp_path / "out"), other, executor))


@pytest.mark.slow
def test_a_killed_process_loses_nothing(executor, files, alone):
    sound = [source for source in files if source.path.name.startswith("i")]
    workers = {worker for _, worker in executor.map(tasks.process_id, range(40))}
    assert len(workers) == 2
    events = []
    for event in spread_files(sound, settings_for(Path("killed")), NANO, executor):
        if not events:
            os.kill(min(workers), signal.SIGKILL)
        events.append(event)
    assert statuses(events) == ["done"] * 4
    assert statuses(alone).count("done") == 6
    killed, expected = contents(Path("killed")), contents(Path("alone"))
    results = {name for name in expected if name.split("/")[-1].startswith("i")}
    assert {name: killed[name] for name in results} == {name: expected[name] for name in results}
    assert len(results) == 4 * 4


@pytest.mark.slow
def test_a_task_that_kills_processes_again_and_again_ends_nothing(executor):
    lost = dict(executor.map(tasks.die, [1], given_up=lambda item, error: (item, type(error))))
    assert lost == {1: (1, WorkerError)}


class Deadly(HereExecutor):
    """Loses every task that has a certain file."""

    def __init__(self, name):
        self.name = name
        self.sizes = []

    def map(self, function, items, *arguments, on_device=False, given_up=None):
        for item in items:
            names = [source.path.name for family in item for source in family]
            self.sizes.append(len(names))
            if self.name in names:
                yield item, given_up(item, WorkerError("dead"))
            else:
                yield item, function(item, *arguments)


def test_only_the_file_that_kills_fails(tmp_path):
    for number in range(32):
        (tmp_path / f"{number:02d}.png").write_bytes(b"no image")
    write_image(tmp_path / "06.png", disks(0))
    sources = find_sources([str(tmp_path)]).sources
    deadly = Deadly("07.png")
    events = list(spread_files(sources, settings_for(tmp_path / "out"), NANO, deadly))
    assert deadly.sizes == [2] * 16 + [1, 1]  # its companion is tried again as well, each on its own
    assert sorted(statuses(events)) == ["done"] + ["failed"] * 31
    (failure,) = (outcome for outcome in outcomes(events) if outcome.name == "07")
    assert failure.message.startswith(f"{tmp_path / '07.png'}: every worker that was at it died")
    assert len(read(events)) == 32


def test_what_was_finished_before_a_process_died_is_done_and_not_skipped(tmp_path):
    write_image(tmp_path / "a.png", disks(0))
    task = ((SourceFile(tmp_path / "a.png", Path("a")),),)
    (tmp_path / "out").mkdir()
    settings = settings_for(tmp_path / "out")
    (first,) = outcomes(segment_task(task, settings, NANO, tmp_path, 0))
    (again,) = outcomes(segment_task(task, settings, NANO, tmp_path, 0))
    assert (first.status, again.status) == ("done", "done")
    assert again.message == f"{tmp_path}/a.png: 2 cells, by a worker that was lost → {tmp_path}/out/a_*"
    assert again.details == {name: first.details[name] for name in first.details if name != "seconds"}
    later = (tmp_path / "out" / "a_provenance.json").stat().st_mtime_ns
    assert statuses(segment_task(task, settings, NANO, tmp_path, later)) == ["skipped"]


def test_what_would_befall_all_stops_the_batch(tmp_path):
    sources = [SourceFile(tmp_path / f"{number}.png", Path(str(number))) for number in range(3)]
    full = PlaneOutcome(sources[0].path, "0", "failed", "full", {}, stops=True)
    taken = []

    class Full(HereExecutor):
        def map(self, function, items, *arguments, on_device=False, given_up=None):
            for item in items:
                taken.append(item)
                yield item, [full, SourceRead(sources[0].path)]

    events = list(spread_files(sources, settings_for(tmp_path), NANO, Full()))
    assert statuses(events) == ["failed"]
    assert len(taken) == 1


SUFFIXES = ["", "_t0001", "_z000", "_s01", "_zmax", "_t0001_z000", "_s01_t0001_z000"]
names = st.lists(
    st.sampled_from([stem + s for stem in ("a", "A", "b", "a_z") for s in SUFFIXES]), max_size=12
)


@examples(40, search=200)
@given(names)
def test_files_whose_results_may_be_named_the_same_are_in_one_family(given_names):
    sources = [SourceFile(Path(f"{number}.tif"), Path(name)) for number, name in enumerate(given_names)]
    grouped = list(group_sources(sources))
    assert sorted(source.path for family in grouped for source in family) == sorted(s.path for s in sources)
    family_of = {source.path: number for number, family in enumerate(grouped) for source in family}
    for one in sources:
        for other in sources:
            planes = ({f"{s.name}{suffix}".casefold() for suffix in SUFFIXES} for s in (one, other))
            if set.intersection(*planes):
                assert family_of[one.path] == family_of[other.path]


def test_a_series_of_files_without_a_stack_of_that_name_is_no_family():
    sources = [SourceFile(Path(f"{n}.tif"), Path(f"series_t{n:04d}")) for n in range(100)]
    assert len(list(group_sources(sources))) == 100
