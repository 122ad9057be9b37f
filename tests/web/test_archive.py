"""The archive: jobs in order, changes with numbers, and what is left after a server was killed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dinocell.errors import FileFormatError, OutputError
from dinocell.web.archive.archive import Archive
from dinocell.web.archive.ids import new_id, now
from dinocell.web.failures import BusyError, DiskFullError, FullError, GoneError
from dinocell.web.messages import Job


def waiting(archive, image=None, most=100):
    job = Job(id=new_id(), kind="segment", state="queued", image=image, settings={}, created=now())
    return archive.jobs.add(job, '{"kind": "segment"}', most)


@pytest.fixture
def archive(tmp_path):
    found = Archive(tmp_path / "data")
    yield found
    found.close()


def test_jobs_are_taken_in_their_order_each_once(archive):
    jobs = [waiting(archive).id for _ in range(3)]
    assert [archive.jobs.take().id for _ in range(3)] == jobs
    assert archive.jobs.take() is None
    assert [each.id for each in archive.jobs.all()] == jobs[::-1]


def test_a_job_that_is_continued_goes_to_the_end_of_the_queue(archive):
    first, second = waiting(archive), waiting(archive)
    archive.jobs.take()
    archive.jobs.change(first.id, state="failed")
    archive.jobs.change(first.id, state="queued")
    assert [archive.jobs.take().id, archive.jobs.take().id] == [second.id, first.id]


def test_more_jobs_than_allowed_are_refused(archive):
    waiting(archive, most=1)
    with pytest.raises(FullError, match="1 jobs wait or run"):
        waiting(archive, most=1)
    assert archive.jobs.take() is not None  # the refusal left nothing half done


@settings(max_examples=20)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=30))
def test_whoever_asks_for_changes_sees_the_last_state_of_every_job(tmp_path_factory, changes):
    archive = Archive(tmp_path_factory.mktemp("archive"))
    jobs = [waiting(archive).id for _ in range(5)]
    seen, since = {each.id: each for each in archive.jobs.all()}, archive.jobs.sequence
    for number, job in enumerate(changes):
        archive.jobs.change(jobs[job], problem=str(number))
        if number % 3 == 0:
            for last, found in archive.jobs.changed(since):
                seen[found.id] = found
                since = last
    for last, found in archive.jobs.changed(since):
        seen[found.id] = found
        since = last
    assert archive.jobs.changed(since) == []  # nothing is told twice
    assert seen == {each.id: each for each in archive.jobs.all()}
    archive.close()


def test_after_a_kill_running_jobs_are_interrupted_and_waiting_ones_wait(tmp_path):
    before = Archive(tmp_path)
    running, later = waiting(before), waiting(before)
    before.jobs.take()
    (tmp_path / "uploads" / "half").write_bytes(b"cut off")
    again = Archive(tmp_path)  # the first one was not closed: it was killed
    again.begin()
    assert again.jobs.find(running.id).state == "interrupted"
    assert again.jobs.find(later.id).state == "queued"
    assert again.jobs.sequence >= before.jobs.sequence
    assert not list((tmp_path / "uploads").iterdir())
    assert again.jobs.change(running.id, only_in=("interrupted",), state="queued").state == "queued"
    with pytest.raises(BusyError, match="is queued, expected interrupted"):
        again.jobs.change(running.id, only_in=("interrupted",), state="queued")
    before.close()
    again.close()


def fill(archive):
    for _ in range(1000):
        waiting(archive, most=2000)


def test_what_a_full_disk_cannot_keep_is_told_and_nothing_else_is_lost(archive):
    job = waiting(archive)
    (pages,) = archive._database.rows("PRAGMA page_count")[0]
    archive._database.rows(f"PRAGMA max_page_count={pages}")
    with pytest.raises(DiskFullError, match="full"):
        fill(archive)
    archive._database.rows("PRAGMA max_page_count=100000")
    assert archive.jobs.find(job.id) == job
    assert archive.jobs.take().id == job.id


def test_two_servers_do_not_share_a_folder(tmp_path):
    first, second = Archive(tmp_path), Archive(tmp_path)
    first.begin()
    with pytest.raises(OutputError, match="is served by another process"):
        second.begin()
    first.close()
    second.begin()
    second.close()


def test_what_is_not_there_is_said_to_be_gone(archive):
    for find in (archive.image, archive.result, archive.jobs.find):
        with pytest.raises(GoneError, match="is not here"):
            find("nothing")


def test_room_is_counted_before_it_is_taken(archive):
    archive.check_room(10, 10, 0)
    with pytest.raises(DiskFullError, match="11 bytes more are too many, 10 are left"):
        archive.check_room(11, 10, 0)
    with pytest.raises(DiskFullError, match="0 are left"):
        archive.check_room(1, 10, 2**70)


def test_a_damaged_or_newer_database_is_refused(tmp_path):
    (tmp_path / "archive.sqlite").write_bytes(b"this is no database, for sure" * 100)
    with pytest.raises(FileFormatError, match="is damaged"):
        Archive(tmp_path)
    new = tmp_path / "new"
    Archive(new)._database.rows("PRAGMA user_version=99")
    with pytest.raises(FileFormatError, match="newer version"):
        Archive(new)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        Archive(tmp_path / "file")
