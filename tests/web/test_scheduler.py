"""The scheduler, where the archive cannot be written for a while."""

import logging
import threading
import time

import pytest

from dinocell.web.archive.archive import Archive
from dinocell.web.jobs.scheduler import Scheduler
from dinocell.web.settings import ServerSettings
from tests.web.test_archive import waiting


class Heard(logging.Handler):
    """Event that is set by a warning."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.event = threading.Event()

    def emit(self, record):
        self.event.set()


@pytest.fixture
def heard():
    handler, logger = Heard(), logging.getLogger("dinocell.web.jobs.scheduler")
    logger.addHandler(handler)
    yield handler.event
    logger.removeHandler(handler)


def test_jobs_go_on_when_the_disk_has_room_again(tmp_path, heard):
    archive = Archive(tmp_path)
    job = waiting(archive)  # its request names no image, so it fails as soon as it is taken
    archive._database.rows("PRAGMA query_only=1")
    scheduler = Scheduler(archive, ServerSettings(data=tmp_path))
    scheduler.start()
    try:
        assert heard.wait(timeout=60)
        assert archive.jobs.find(job.id).state == "queued"
        archive._database.rows("PRAGMA query_only=0")
        scheduler.wake()
        begun = time.monotonic()
        while archive.jobs.find(job.id).state != "failed":
            assert time.monotonic() - begun < 60
        assert "expected one of this: start it again" in archive.jobs.find(job.id).problem
    finally:
        scheduler.stop()
        archive.close()
