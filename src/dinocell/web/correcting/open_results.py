"""Results that are open: those used last, up to a bound of memory."""

import threading
from collections import OrderedDict

from dinocell.web.archive.archive import Archive
from dinocell.web.correcting.large_result import LargeResult
from dinocell.web.correcting.open_result import OpenResult
from dinocell.web.failures import BusyError


class OpenResults:
    """Results that are open, by id.

    Parameters
    ----------
    archive : Archive
    most_bytes : int
        Memory that they may take; the one that is asked for stays in any case.
    """

    def __init__(self, archive: Archive, most_bytes: int) -> None:
        self._archive, self._most = archive, most_bytes
        self._open: OrderedDict[str, OpenResult] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, result: str) -> OpenResult | LargeResult:
        """Open a result, or return it where it is open; errors as `Archive.result`."""
        with self._lock:
            found = self._open.get(result)
            if found is None:
                record = self._archive.result(result)
                if record.kind == "large":
                    return LargeResult(self._archive, record)
                found = self._open[result] = OpenResult(self._archive, record)
            self._open.move_to_end(result)
            self._close_oldest()
            return found

    def editable(self, result: str) -> OpenResult:
        """Open a result that can be corrected.

        Raises
        ------
        BusyError
            If it is too large for that.
        """
        found = self.find(result)
        if isinstance(found, LargeResult):
            raise BusyError(
                "this image is too large to be corrected here, expected a smaller one: cut out the part, or "
                "use `dinocell edit`"
            )
        return found

    def forget(self, result: str) -> None:
        """Close a result that is removed."""
        with self._lock:
            self._open.pop(result, None)

    def _close_oldest(self) -> None:
        """Close results that nobody uses now; their edits are on the disk."""
        total = sum(each.bytes for each in self._open.values())
        for result in [*self._open][:-1]:
            oldest = self._open[result]
            if total <= self._most:
                return
            if oldest.lock.acquire(blocking=False):
                total -= oldest.bytes
                del self._open[result]
                oldest.lock.release()
