"""Role of a dataset format: its name, what it reads, and how it is recognised."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dinocell.datasets.items import Item


def _never(_path: Path) -> bool:
    return False


@dataclass(frozen=True)
class DatasetFormat:
    """A dataset format, as its module describes it.

    Attributes
    ----------
    name : str
        Name by which a user asks for it.
    input : str
        Description of its path, for help texts.
    find_items : callable
        Lists the annotated images of a path; takes `options` as keywords.
    options : tuple of str
        Options that `find_items` takes: ``images``, ``masks``, ``channel``.
    recognises : callable
        Returns whether a file or folder is a dataset of this format, by the names of its files. By default
        it never is, and the format must be named.
    """

    name: str
    input: str
    find_items: Callable[..., Sequence[Item]]
    options: tuple[str, ...] = ()
    recognises: Callable[[Path], bool] = _never
