from .cells import measure_cells
from .confidence import cell_confidence
from .filling import fill_polygons
from .outlines import cell_polygons, draw_outlines
from .quality import image_quality

__all__ = [
    "cell_confidence",
    "cell_polygons",
    "draw_outlines",
    "fill_polygons",
    "image_quality",
    "measure_cells",
]
