"""Comparison of the planes that a TIFF file describes with the pages that it has."""

import itertools
from collections import Counter
from collections.abc import Iterable

from dinocell.io.readers.tiff_file_set import FileSet
from dinocell.io.readers.tiff_stack import Stack

# Kinds of which every page is a plane. Those of scanners and slide viewers have previews, labels and maps.
_ALL_PAGES = frozenset({"ome", "imagej", "shaped", "fluoview", "scanimage"})


def find_misfit(file_set: FileSet, stacks: list[Stack]) -> str:
    """Return in which way planes and pages do not add up; empty if they do."""
    kinds = {stack.series.kind for stack in stacks}
    if not kinds <= _ALL_PAGES:
        return ""
    used = Counter(place for stack in stacks for place in _places(file_set, stack))
    if any(times > 1 for times in used.values()):
        return "takes one page for several planes"
    storages = {file_set.storage(stack.keyframe) for stack in stacks}
    left = sum(
        found.storage[offset] in storages and (name, offset) not in used
        for name, found in file_set.files.items()
        for offset in found.pages
    )
    if left:
        return f"names {len(used)} of {len(used) + left} pages of one size"
    return ""


def _places(file_set: FileSet, stack: Stack) -> Iterable[tuple[str, int]]:
    """List file and place of the directories of a stack's planes."""
    series = stack.series
    if series.dataoffset is not None and not series.is_multifile:
        name = series.keyframe.parent.filehandle.name
        return [(name, offset) for offset in _run(file_set, stack)]
    pages = (page for page in itertools.islice(series, stack.n_stored) if page is not None)
    return ((page.parent.filehandle.name, page.offset) for page in pages)


def _run(file_set: FileSet, stack: Stack) -> list[int]:
    """List the directories of planes that are stored in one run; perhaps only the first plane has one."""
    keyframe = stack.keyframe
    found = file_set.files[keyframe.parent.filehandle.name]
    first = found.numbers.get(keyframe.offset)
    return [keyframe.offset] if first is None else found.pages[first : first + stack.n_stored]


def check_runs(file_set: FileSet, stacks: list[Stack]) -> None:
    """Check that the directories of planes in one run store them all alike.

    Raises
    ------
    ValueError
        If they do not.
    """
    for stack in stacks:
        keyframe = stack.keyframe
        if stack.series.dataoffset is None or stack.series.is_multifile:
            continue
        if file_set.shares_bytes(keyframe)[0]:
            raise ValueError("its pixels have bytes in common with other parts of the file")
        found = file_set.files[keyframe.parent.filehandle.name]
        for number, offset in enumerate(_run(file_set, stack)):
            if found.storage[offset] != found.storage[keyframe.offset]:
                raise ValueError(f"plane {number} is not stored like the first one")
