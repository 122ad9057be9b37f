"""Packages that only some features need, and that a user installs for them."""

from importlib import import_module
from typing import Any

from dinocell.errors import MissingExtraError


def import_extra(module: str, *, extra: str, purpose: str) -> Any:
    """Import a module that comes with an extra of the package.

    Parameters
    ----------
    module : str
        Such as ``pycocotools.mask``.
    extra : str
        Name of the extra.
    purpose : str
        What needs it, as the beginning of a sentence.

    Raises
    ------
    MissingExtraError
        If it is not installed, with the command that installs it.

    Examples
    --------
    >>> import_extra("no_such_module", extra="train", purpose="training")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    dinocell.errors.MissingExtraError: training needs no_such_module (No module named 'no_such_module'): ...
    """
    try:
        return import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        raise MissingExtraError(
            f'{purpose} needs {name} ({error}): pip install "dinocell[{extra}]"'
        ) from error
