"""Curve of the loss while a model learns, and pictures before and after."""

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QSize, Qt
from qtpy.QtGui import QImage, QPainter, QPaintEvent, QPalette, QPen, QPixmap, QPolygonF
from qtpy.QtWidgets import QLabel, QSizePolicy, QWidget

_HEIGHT, _MARGIN = 90, 4
_WIDEST = 170


class LossCurve(QWidget):  # type: ignore[misc,unused-ignore]
    """Curve that grows to the right; its highest value is at the top, 0 at the bottom."""

    def __init__(self) -> None:
        super().__init__()
        self.values: list[float] = []
        self._total = 1
        self.setFixedHeight(_HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip("Loss of each step: lower is better")

    def clear(self, total: int = 1) -> None:
        """Begin anew, with room for a number of steps."""
        self.values, self._total = [], max(total, 2)
        self.update()

    def add(self, value: float, total: int) -> None:
        """Add the value of one more step of `total`."""
        self._total = max(total, 2)
        self.values.append(value)
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Return the size that it has by default."""
        return QSize(200, _HEIGHT)

    def paintEvent(self, _: QPaintEvent) -> None:  # noqa: N802 (Qt's name)
        """Paint the curve."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        colour = self.palette().color(QPalette.ColorRole.WindowText)
        painter.setPen(QPen(colour, 0.5))
        painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
        highest = max(self.values, default=0.0) or 1.0
        width, height = self.width() - 2 * _MARGIN, self.height() - 2 * _MARGIN
        points = [
            QPointF(_MARGIN + width * step / (self._total - 1), _MARGIN + height * (1 - value / highest))
            for step, value in enumerate(self.values)
        ]
        painter.setPen(QPen(colour, 1.5))
        painter.drawPolyline(QPolygonF(points))
        if self.values:
            place = self.rect().adjusted(0, _MARGIN, -2 * _MARGIN, 0)
            corner = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop
            painter.drawText(place, corner, f"loss {self.values[-1]:.4f}")
        painter.end()


def show_picture(label: QLabel, picture: NDArray[np.uint8]) -> None:
    """Show an RGB picture in a label, shrunk or enlarged to its width."""
    pixels = np.ascontiguousarray(picture)
    height, width = pixels.shape[:2]
    image = QImage(pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888).copy()
    smooth = Qt.TransformationMode.SmoothTransformation
    label.setPixmap(QPixmap.fromImage(image).scaledToWidth(_WIDEST, smooth))
