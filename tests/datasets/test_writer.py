"""Stores that are stopped, killed, damaged or crowded, and gone on with; and where a store is put."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dinocell.datasets import npy, process, writer
from dinocell.datasets.store import DINOCellDataset
from dinocell.datasets.writer import StoreWriter, partial_folder
from dinocell.errors import FileFormatError, OutputError
from dinocell.preprocess.preprocessing import Preprocessing
from tests.cases import CASES
from tests.fakes.items import (
    SMALL,
    WHOLE,
    FakeItem,
    begin,
    contents,
    expected_contents,
    fake_items,
    finish,
    make_store,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Return the bytes that all other stores must be equal to."""
    return expected_contents(tmp_path_factory.mktemp("expected"))


@pytest.mark.parametrize("whole", [False, True])
def test_a_stopped_store_is_resumed(tmp_path, expected, whole):
    options, store = (WHOLE if whole else SMALL), tmp_path / "store"
    begin(fake_items(), store, options, images=2)
    assert not store.exists()
    begin(fake_items(), store, options, images=7)
    *events, info = finish(fake_items(), store, options)
    assert contents(store) == expected[whole]
    # The whole images were measured already; what is done is counted.
    assert [(event.stage, event.name, event.done, event.total) for event in events] == [
        ("process", name, number, len(CASES)) for number, name in enumerate(CASES, 1) if number > 7
    ]
    assert info == DINOCellDataset(store).info
    assert list(tmp_path.iterdir()) == [store]


class Killed(BaseException):
    """Ends everything at once, as a kill does, but can be counted."""


class Steps:
    """Counts what changes a file, and raises `Killed` at one of these steps; writing is half done then."""

    def __init__(self, monkeypatch):
        self.left = -1
        write_all = npy.write_all

        def write(file, data):
            if self.is_last():
                file.write(memoryview(data).cast("B")[: data.nbytes // 2])
                raise Killed
            write_all(file, data)

        for module in (npy, writer):
            monkeypatch.setattr(module, "write_all", write)
        monkeypatch.setattr(os, "fsync", self.watched(os.fsync))
        monkeypatch.setattr(writer.shutil, "rmtree", self.watched(writer.shutil.rmtree))
        for name in ("mkdir", "rename", "rmdir", "touch", "write_text"):
            monkeypatch.setattr(Path, name, self.watched(getattr(Path, name)))

    def is_last(self):
        self.left -= 1
        return self.left == 0

    def watched(self, function):
        def step(*arguments, **more):
            if self.is_last():
                raise Killed
            return function(*arguments, **more)

        return step


@pytest.mark.parametrize("whole", [False, True])
def test_a_kill_at_any_step_changes_nothing(tmp_path, monkeypatch, whole):
    items, options = fake_items()[:3], replace(SMALL, whole=whole)
    make_store(items, tmp_path / "expected", options)
    steps = Steps(monkeypatch)
    for number in range(1, 1000):
        store = tmp_path / f"{number}"
        store.mkdir()
        steps.left = number
        with suppress(Killed):
            make_store(items, store, options)
        if steps.left > 0:
            break
        if not (store / "imgs.npy").exists():
            make_store(items, store, options)
        assert contents(store) == contents(tmp_path / "expected")
    assert number > 30


KILLED = """
import sys
from pathlib import Path
from dinocell.datasets.process import process
from tests.fakes.items import SMALL
from tests.datasets.test_writer import slow_items

if __name__ == "__main__":
    for _ in process(slow_items(), Path(sys.argv[1]), SMALL, workers=int(sys.argv[2])):
        pass
"""


def slow_items(seconds=0.03):
    """Return 40 images of 1, 4 or 6 crops."""
    cut = [CASES["one"][:32, :30], CASES["one"], CASES["concave"][:50, :60]]
    return [
        FakeItem(f"{number:02}", np.roll(cut[number % 3], number), seconds=seconds) for number in range(40)
    ]


@pytest.fixture(scope="module")
def unkilled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unkilled") / "store"
    make_store(slow_items(0), folder)
    return contents(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("points", "workers"), [((1, 60), 0), ((0, 30, 90, 115), 0), ((20,), 2)], ids=["few", "many", "processes"]
)
def test_a_killed_process_is_resumed(tmp_path, unkilled, points, workers):
    store, script = tmp_path / "store", tmp_path / "script.py"
    index = partial_folder(store) / "store" / "index.jsonl"
    script.write_text(KILLED)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"}
    for lines in points:
        command = [sys.executable, script, store, str(workers)]
        with subprocess.Popen(command, env=environment) as running:
            while not index.exists() or index.read_bytes().count(b"\n") < lines:
                assert running.poll() is None, "it ended before it was killed"
                time.sleep(0.001)
            running.kill()
        assert running.returncode == -signal.SIGKILL
        assert not store.exists()
        assert index.read_bytes().count(b"\n") >= lines
    make_store(slow_items(0), store)
    assert contents(store) == unkilled
    assert sorted(path.name for path in tmp_path.iterdir()) == ["script.py", "store"]


def append(path, data):
    with path.open("ab") as file:
        file.write(data)


def last_lines(index, count):
    return b"".join(index.read_bytes().splitlines(keepends=True)[-count:])


def following_line(index):
    """Return an entry of an item that is not there, of an image with one crop."""
    last = json.loads(last_lines(index, 1))
    return json.dumps(last | {"item": last["item"] + 1, "name": "x", "crops": 1}).encode() + b"\n"


DAMAGES = {
    "half a line": lambda store, index: append(index, b'{"item": 12, "na'),
    "a line without its end": lambda store, index: append(index, following_line(index)[:-1]),
    "no end of the last line": lambda store, index: os.truncate(index, index.stat().st_size - 1),
    "much that is not a line": lambda store, index: append(index, b"x" * 300_000),
    "zeros": lambda store, index: append(index, b"\x00" * 4096),
    "no unicode": lambda store, index: append(index, b"\xff\xfe\n\xff"),
    "other json": lambda store, index: append(index, b'{"item": 1}\n[]\n7\n'),
    "empty lines": lambda store, index: append(index, b"\n\n"),
    "a line again": lambda store, index: append(index, last_lines(index, 1)),
    "half an image": lambda store, index: os.truncate(
        index, index.stat().st_size - len(last_lines(index, 1))
    ),
    "an item without arrays": lambda store, index: append(index, following_line(index)),
    "longer arrays": lambda store, index: [append(path, b"\x07" * 9999) for path in store.glob("*.npy")],
    "a shorter array": lambda store, index: os.truncate(
        store / "anns.npy", (store / "anns.npy").stat().st_size - 1
    ),
    "an array cut in its header": lambda store, index: os.truncate(store / "imgs.npy", 9),
    "no array": lambda store, index: (store / "dist_maps.npy").unlink(),
    "no index": lambda store, index: index.unlink(),
    "an empty index": lambda store, index: os.truncate(index, 0),
    "a line in the middle": lambda store, index: index.write_bytes(
        index.read_bytes().replace(b'{"item":5,', b'{"item":6,')
    ),
    "no plan and no items": lambda store, index: (index.unlink(), (store.parent / "plan.json").unlink()),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_a_crash_leaves_is_cut_off(tmp_path, expected, damage):
    store = tmp_path / "store"
    begin(fake_items(), store, images=5)
    unfinished = partial_folder(store) / "store"
    DAMAGES[damage](unfinished, unfinished / "index.jsonl")
    finish(fake_items(), store)
    assert contents(store) == expected[False]


OTHERS = {
    "smaller": (fake_items(), replace(SMALL, size=16)),
    "larger": (fake_items(), replace(SMALL, size=512)),
    "overlap": (fake_items(), replace(SMALL, overlap=9)),
    "diameter": (fake_items(), replace(SMALL, diameter=9.0)),
    "preprocessing": (fake_items(), replace(SMALL, preprocessing=Preprocessing(clahe=False))),
    "whole": (fake_items(), WHOLE),
    "fewer": (fake_items()[1:], SMALL),
    "order": (fake_items()[::-1], SMALL),
    "channel": (fake_items(channel=1), SMALL),
}


@pytest.mark.parametrize("other", OTHERS)
def test_an_unfinished_store_of_something_else_is_refused_and_kept(tmp_path, expected, other):
    store = tmp_path / "store"
    begin(fake_items(), store)
    before = contents(partial_folder(store) / "store")
    with pytest.raises(
        OutputError, match=r"\.store\.partial is an unfinished store of other data or settings"
    ):
        make_store(OTHERS[other][0], store, OTHERS[other][1])
    assert contents(partial_folder(store) / "store") == before
    finish(fake_items(), store)
    assert contents(store) == expected[False]


def test_other_files_of_the_same_names_are_refused(tmp_path, monkeypatch):
    begin(fake_items(), tmp_path / "store")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # the files of fake items are relative
    with pytest.raises(OutputError, match="other data"):
        make_store(fake_items(), tmp_path / "store")


def test_another_version_is_refused(tmp_path, monkeypatch):
    begin(fake_items(), tmp_path / "store")
    monkeypatch.setattr(process, "__version__", "0")
    with pytest.raises(OutputError, match="of another version"):
        make_store(fake_items(), tmp_path / "store")


@pytest.mark.parametrize("plan", [b"", b"[]", b"{", b"\xff"])
def test_a_damaged_plan_is_another_one(tmp_path, plan):
    begin(fake_items(), tmp_path / "store")
    (partial_folder(tmp_path / "store") / "plan.json").write_bytes(plan)
    for options in (SMALL, WHOLE):
        with pytest.raises(OutputError, match="finish it with those, or delete it"):
            make_store(fake_items(), tmp_path / "store", options)


def test_an_unfinished_store_without_items_is_begun_anew(tmp_path, expected):
    bad = [FakeItem("bad", CASES["one"], FileFormatError("damaged"))]
    with pytest.raises(FileFormatError):
        make_store(bad, tmp_path / "store", replace(SMALL, size=300))
    make_store(fake_items(), tmp_path / "store")
    assert contents(tmp_path / "store") == expected[False]


@pytest.mark.skipif(sys.platform == "win32", reason="has no such lock")
def test_two_processes_do_not_write_the_same_store(tmp_path, expected):
    first = process.process(fake_items(), tmp_path / "store", SMALL, workers=0)
    next(first)
    with pytest.raises(OutputError, match="being written by another process"):
        make_store(fake_items(), tmp_path / "store")
    list(first)
    assert contents(tmp_path / "store") == expected[False]


# Where the store is put


def test_a_place_that_is_taken_is_refused_and_untouched(tmp_path):
    store = tmp_path / "store"
    make_store(fake_items()[:2], store)
    before = contents(store)
    for options in (SMALL, WHOLE):
        with pytest.raises(OutputError, match="exists and is not empty"):
            make_store(fake_items()[:2], store, options)
    assert contents(store) == before
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="exists and is not empty"):
        make_store(fake_items(), tmp_path / "file")
    with pytest.raises(OutputError, match="cannot write"):
        make_store(fake_items(), tmp_path / "file" / "store")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "store"]


def test_an_empty_folder_and_folders_above_are_made_use_of(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    make_store(fake_items()[:1], tmp_path / "empty")
    make_store(fake_items()[:1], tmp_path / "a" / "b" / "c")
    monkeypatch.chdir(tmp_path)
    make_store(fake_items()[:1], Path("relative"))
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    make_store(fake_items()[:1], tmp_path / "link")
    for place in ("empty", "a/b/c", "relative", "target", "link"):
        assert len(DINOCellDataset(tmp_path / place)) == 4


def test_a_folder_filled_meanwhile_is_left_and_the_store_kept(tmp_path, expected):
    store = tmp_path / "store"
    events = process.process(fake_items(), store, SMALL, workers=0)
    next(events)
    store.mkdir()
    (store / "mine.txt").write_text("x")
    with pytest.raises(OutputError, match=r"cannot write .*store: .*what is done is kept"):
        list(events)
    assert contents(store) == {"mine.txt": b"x"}
    (store / "mine.txt").unlink()
    finish(fake_items(), store)
    assert contents(store) == expected[False]


FULL = """
import resource, sys
from pathlib import Path
from dinocell.errors import OutputError
from tests.fakes.items import fake_items, make_store

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), -1))  # larger files cannot be written
try:
    make_store(fake_items(), Path(sys.argv[1]))
except OutputError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="has no such limit")
def test_a_full_disk_is_told_and_what_is_done_is_kept(tmp_path, expected):
    store = tmp_path / "store"
    for limit in (60_001, 400_003):
        said = subprocess.run(
            [sys.executable, "-c", FULL, store, str(limit)],
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert f"cannot write {store}: File too large" in said
        assert "what is done is kept" in said
        assert not store.exists()
    *events, _ = finish(fake_items(), store)
    assert 0 < len(events) < len(CASES)
    assert contents(store) == expected[False]


# The writer alone


def test_the_writer_refuses_items_of_another_shape(tmp_path):
    make_store(fake_items()[:1], tmp_path / "store")
    entry = DINOCellDataset(tmp_path / "store").index[0]
    good = (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.float32), np.zeros((4, 4), np.int32))
    with StoreWriter(tmp_path / "other", {}, (4, 4)) as opened:
        for number, array in enumerate(good):
            for wrong in (array[1:], array.astype(np.int64)):
                arrays = [*good[:number], wrong, *good[number + 1 :]]
                with pytest.raises(ValueError, match="expected"):
                    opened.append([(arrays, entry)])
