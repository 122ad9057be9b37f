"""Packages that only some features need, and that a user installs for them."""

from importlib import import_module
from importlib.util import find_spec
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
        raise _missing(module.partition(".")[0], str(error), extra, purpose) from error


def require_extra(package: str, *, extra: str, purpose: str) -> None:
    """Raise as `import_extra` for a package that is not installed, without the time that its import takes."""
    try:
        found = find_spec(package)
    except (ImportError, ValueError):
        found = None
    if found is None:
        raise _missing(package, f"No module named {package!r}", extra, purpose)


def _missing(package: str, reason: str, extra: str, purpose: str) -> MissingExtraError:
    return MissingExtraError(f'{purpose} needs {package} ({reason}): pip install "dinocell[{extra}]"')
