"""Table of the cells of a labels layer: sorted by a click on a column, a row shows its cell."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

_FIRST = ("label", "confidence", "area", "equivalent_diameter", "mean_intensity")
"""Columns that come first, as the widget is narrow."""


class CellsModel(QAbstractTableModel):  # type: ignore[misc,unused-ignore]
    """Columns of a table, in an order that the user chooses."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self._columns: list[NDArray[Any]] = []
        self.order: NDArray[np.intp] = np.zeros(0, np.intp)

    def show(self, table: Mapping[str, NDArray[Any]]) -> None:
        """Show another table."""
        self.beginResetModel()
        first = [name for name in _FIRST if name in table]
        self.names = first + [name for name in table if name not in first]
        self._columns = [np.asarray(table[name]) for name in self.names]
        self.order = np.arange(len(self._columns[0]) if self._columns else 0)
        self.endResetModel()

    def label_at(self, row: int) -> int:
        """Return the label of a row."""
        return int(self._columns[self.names.index("label")][self.order[row]])

    def row_of(self, label: int) -> int | None:
        """Return the row of a label; None where it has none."""
        if "label" not in self.names:
            return None
        rows = np.flatnonzero(self._columns[self.names.index("label")][self.order] == label)
        return int(rows[0]) if rows.size else None

    def rowCount(self, _: Any = None) -> int:  # noqa: N802 (Qt's name)
        """Count the cells."""
        return len(self.order)

    def columnCount(self, _: Any = None) -> int:  # noqa: N802 (Qt's name)
        """Count the columns."""
        return len(self.names)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the text of a place."""
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        value = self._columns[index.column()][self.order[index.row()]]
        return f"{value:.4g}" if isinstance(value, np.floating) else str(value)

    def headerData(self, section: int, orientation: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: N802
        """Return the name of a column."""
        if role == Qt.ItemDataRole.DisplayRole and orientation == Qt.Orientation.Horizontal:
            return self.names[section]
        return None

    def sort(self, column: int, order: Any = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; equal values keep the order of their labels."""
        if not 0 <= column < len(self._columns):
            return
        self.layoutAboutToBeChanged.emit()
        values = self._columns[column]
        descending = order == Qt.SortOrder.DescendingOrder
        self.order = np.argsort(-values if descending else values, kind="stable")
        self.layoutChanged.emit()


class CellsTable(QTableView):  # type: ignore[misc,unused-ignore]
    """View of a table of cells.

    Attributes
    ----------
    chosen : Signal(int)
        Label of the row that the user clicked, or moved to.
    """

    chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.cells = CellsModel()
        self.setModel(self.cells)
        self.setSortingEnabled(True)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.verticalHeader().hide()
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.horizontalHeader().setResizeContentsPrecision(50)
        self.setMinimumHeight(150)
        self.selectionModel().currentRowChanged.connect(self._choose)
        self._is_following = False

    def show_table(self, table: Mapping[str, NDArray[Any]]) -> None:
        """Show another table, in the order of the labels."""
        self.horizontalHeader().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.cells.show(table)

    def follow(self, label: int) -> None:
        """Mark the row of a label that was chosen elsewhere."""
        row = self.cells.row_of(label)
        if row is not None and row != self.currentIndex().row():
            self._is_following = True
            self.selectRow(row)
            self._is_following = False

    def _choose(self, index: QModelIndex, _: QModelIndex) -> None:
        if index.isValid() and not self._is_following:
            self.chosen.emit(self.cells.label_at(index.row()))
