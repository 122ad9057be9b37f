"""Messages that tifffile logs while it reads: which of them mean damage, and which become warnings."""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dinocell.io.readers.quiet import quiet
from dinocell.io.readers.tiff_storage import NEEDED_TAGS, PRIVATE

logger = logging.getLogger(__name__)

Warn = Callable[[str], None]
"""Callback that warns the user of something about the file, each text once."""

_NAMES = {254: "NewSubfileType", 270: "ImageDescription", 282: "XResolution", 283: "YResolution",
          296: "ResolutionUnit", 305: "Software", 306: "DateTime", 315: "Artist", 320: "ColorMap",
          330: "SubIFDs"}  # fmt: skip

# tifffile logs the damage that it works around. These errors leave the pixels alone: broken OME-XML, strips
# beyond those of the image, descriptions that do not fit, of which the pages are taken as they are.
_HARMLESS = re.compile(r"OME series raised|incorrect Strip|shaped series")
# These are logged as warnings, though other pixels than the file's may come of them.
_DAMAGE = re.compile(r"failed to reshape|expected \d+ segments")
_WARNINGS = {
    re.compile(
        r"OME series raised"
    ): "its OME-XML is broken, its pages are taken as they are: check their order",
    re.compile(
        r"incorrect Strip\w+ count \((\d+) != (\d+)\)"
    ): "it has {0} strips, its size needs {1}: compare what is read with the original",
    re.compile(
        r"shaped series|OME series cannot handle|ImageJ series metadata invalid"
    ): "its description does not fit its pages, which are taken as they are: check their order",
}


class LoggedMessages:
    """Messages that tifffile logged, sorted: `damage`, of which `check` raises the first, and `warnings`."""

    def __init__(self) -> None:
        self.damage: list[str] = []
        self.warnings: list[str] = []

    def add(self, record: logging.LogRecord) -> None:
        """Sort one message."""
        message = record.getMessage()
        for pattern, text in _WARNINGS.items():
            if found := pattern.search(message):
                self.warnings.append(text.format(*found.groups()))
        tag = re.search(r"<TiffTag\.fromfile> raised .*?TiffTag (\d+) ", message)
        if tag is not None and int(tag[1]) not in NEEDED_TAGS:
            code = int(tag[1])
            if code < PRIVATE:
                name = _NAMES.get(code, "which describes it")
                self.warnings.append(
                    f"its tag {code} ({name}) is damaged and left out, its pixels do not need it"
                )
        elif _DAMAGE.search(message) or (record.levelno >= logging.ERROR and not _HARMLESS.search(message)):
            self.damage.append(message)

    def check(self) -> None:
        """Raise ValueError if a message means damage."""
        if self.damage:
            raise ValueError(self.damage[0])


class FileWarnings:
    """Warnings about one file, each logged once."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._logged: set[str] = set()

    def add(self, text: str) -> None:
        """Log a warning, unless it was logged before."""
        if text not in self._logged:
            self._logged.add(text)
            logger.warning("%s: %s", self._file, text)


@contextmanager
def collect_messages() -> Iterator[LoggedMessages]:
    """Collect what tifffile logs while the block runs, and keep it from the screen."""
    messages = LoggedMessages()
    with quiet("tifffile", messages.add):
        yield messages
