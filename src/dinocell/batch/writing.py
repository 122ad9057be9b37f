"""Write the files of a plane or a stack, so that whenever the process is killed, the next call can go on."""

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path

from dinocell.errors import DINOCellError, OutputError
from dinocell.io.identity import hash_file
from dinocell.results.formats import PLANE_FORMATS
from dinocell.results.record import ResultRecord, is_same, read_record, write_record


def write_results(
    record: Path,
    begun: ResultRecord,
    files: dict[str, Path],
    formats: Iterable[str],
    write: Callable[[str], None],
    *,
    shown: tuple[str, ...] | None,
) -> ResultRecord:
    """Write files of results; their record says meanwhile, and after a failure, which are complete.

    Parameters
    ----------
    record : Path
        File of the record.
    begun : ResultRecord
        What is known before: provenance, source, stem.
    files : dict of str to Path
        Files by the format they are written in.
    formats : iterable of str
        In the order in which they are written; those written into the source have no file.
    write : callable
        Writes the file of a format.
    shown : tuple of str or None
        What the overlay shows beside outlines; None where none is written.

    Returns
    -------
    ResultRecord
        With the hashes of all files, also of formats that were written before. The caller writes it, with
        what was found, as finished.
    """
    wanted = tuple(formats)
    before = read_record(record)
    kept = {} if before is None else before.files
    hashes = {name: digest for name, digest in kept.items() if name not in {f.name for f in files.values()}}
    unfinished = begun.model_copy(update={"files": hashes})
    write_record(record, unfinished)
    try:
        for name in wanted:
            write(name)
            if name in files:
                hashes[files[name].name] = hash_file(files[name])
    except DINOCellError:
        with contextlib.suppress(OutputError):
            write_record(record, unfinished.model_copy(update={"files": hashes}))
        raise
    same = before if before is not None and is_same(before, begun.provenance) else begun
    made = {
        "formats": tuple(name for name in PLANE_FORMATS if name in {*wanted, *same.formats}),
        "shown": same.shown if shown is None else shown,
        "files": dict(sorted(hashes.items())),
    }
    return begun.model_copy(update=made)
