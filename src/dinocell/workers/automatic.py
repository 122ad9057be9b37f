"""The number of processes for some work on this machine: by its cores and memory, without a measurement."""

from dataclasses import dataclass

from dinocell.machine import memory_bytes, thread_count

BUSY = 8
"""Cores that one process keeps busy with a batch of images: with more, its work in Python is the limit."""

FEWEST_IMAGES = 8
"""Images that are worth the start of a process."""

BLOCK_THREADS = 2
"""Threads of a process that works on blocks of a large image, of which most stages use one."""

PROCESS_MEMORY = 3 * 2**30
"""Bytes that a process may need."""


@dataclass(frozen=True)
class Crew:
    """Processes for some work.

    Attributes
    ----------
    workers : int or None
        None stands for this process alone.
    threads : int
        Of each.
    """

    workers: int | None
    threads: int

    def __str__(self) -> str:
        if self.workers is None:
            return "this process alone"
        return f"{self.workers} processes, {self.threads} threads each"


def crew_for_images(images: int, threads: int | None = None) -> Crew:
    """Choose for a batch: a process for every eight cores, and for every eight images.

    Parameters
    ----------
    images : int
        Number of images.
    threads : int, optional
        Of each process, if that was chosen.
    """
    cores = thread_count()
    return _crew(min(cores // (threads or BUSY), images // FEWEST_IMAGES), cores, threads)


def crew_for_blocks(threads: int | None = None) -> Crew:
    """Choose for the blocks of a large image: a process for every two cores; `threads` as for images."""
    cores = thread_count()
    return _crew(cores // (threads or BLOCK_THREADS), cores, threads)


def _crew(workers: int, cores: int, threads: int | None) -> Crew:
    size, _ = memory_bytes()
    if size is not None:
        workers = min(workers, size // PROCESS_MEMORY)
    if workers < 2:
        return Crew(None, threads or cores)
    return Crew(workers, threads or cores // workers)
