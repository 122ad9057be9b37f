"""Progress without a terminal: a plain line a minute, by a clock that the test turns."""

import threading

import pytest

from dinocell.cli import progress
from dinocell.cli.progress import MinuteLines, describe
from dinocell.cli.terminal import console


class Clock:
    """Clock that a test turns; `wait` ends when the test lets it, once for every minute."""

    def __init__(self):
        self.now = 0.0
        self._due, self._printed = threading.Semaphore(0), threading.Semaphore(0)
        self._ended, self._waits = False, 0

    def wait(self, seconds):
        assert seconds == progress.SECONDS
        if self._waits:
            self._printed.release()
        self._waits += 1
        self._due.acquire()
        return self._ended

    def minute(self, passed=60):
        self.now += passed
        self._due.release()
        self._printed.acquire()

    def end(self):
        self._ended = True
        self._due.release()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def bar(clock):
    return MinuteLines(get_time=lambda: clock.now, wait=clock.wait)


def test_one_line_a_minute_says_how_much_is_done_and_left(bar, clock, capsys):
    with bar:
        images = bar.add_task("images", total=300)
        tiles = bar.add_task("tiles", visible=False)
        for minute in range(1, 4):
            for _ in range(40):
                clock.now += 1.5
                bar.advance(images)
            if minute == 3:
                bar.update(tiles, completed=1, total=4, visible=True)
            clock.minute(0)
        clock.end()
    assert capsys.readouterr().err.splitlines() == [
        "images 40/300, 13 %, about 6 min left",
        "images 80/300, 26 %, about 6 min left",
        "images 120/300, 40 %, about 4 min left; tiles 1/4, 25 %, 3 min so far",
    ]


def test_a_step_of_many_minutes_gives_lines_too(bar, clock, capsys):
    with bar:
        bar.add_task(r"\[a] maps")  # a name from a file
        bar.add_task("later", total=2)
        clock.minute()
        clock.now += 120 * 60
        clock.minute()
        clock.end()
    assert capsys.readouterr().err.splitlines() == [
        r"[a] maps 0/100, 0 %, 1 min so far",
        r"[a] maps 0/100, 0 %, 2 h 2 min so far",
    ]


def test_work_without_a_known_end_says_how_long_it_takes(bar, clock, capsys):
    with bar:
        bar.add_task("export", total=None)
        clock.minute()
        clock.end()
    assert capsys.readouterr().err == "export, 1 min so far\n"


def test_what_begins_in_the_middle_is_not_taken_for_quick(bar, clock):
    training = bar.add_task("training", total=1000)
    for step in (900, 901, 902, 903):  # resumed at 900
        bar.update(training, completed=step)
        clock.now += 60
    assert describe(bar.tasks) == "training 903/1000, 90 %, about 97 min left"


def test_only_what_is_at_work_is_told_and_at_last_what_is_done(bar, clock):
    names = [bar.add_task(name, total=2) for name in ("first", "second", "third")]
    bar.update(names[0], completed=2)
    assert describe(bar.tasks) == "second 0/2, 0 %, under a minute so far"
    bar.update(names[1], completed=1)
    assert describe(bar.tasks) == "second 1/2, 50 %, under a minute so far"
    for name in names:
        bar.update(name, completed=2)
    assert describe(bar.tasks) == "third 2/2, 100 %, in under a minute"


def test_bars_that_stay_leave_their_last_state(clock, capsys):
    bar = MinuteLines(keep=True, get_time=lambda: clock.now, wait=clock.wait)
    with bar:
        bar.update(bar.add_task("blocks", total=4), completed=4)
        bar.add_task("never begun", total=3)
        clock.end()
    assert capsys.readouterr().out == "blocks 4/4, 100 %, in under a minute\n"


def test_all_bars_are_lines_where_there_is_no_terminal():
    assert isinstance(progress.progress_bar(), MinuteLines)
    assert isinstance(progress.block_bar(), MinuteLines)


def test_of_several_processes_one_speaks(bar, monkeypatch, capsys):
    monkeypatch.setattr(console, "quiet", True)
    with bar:  # no thread waits for the clock
        bar.update(bar.add_task("training", total=1), completed=1)
    assert capsys.readouterr().err == ""
