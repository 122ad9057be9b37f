from .page import html_table, write_page
from .pictures import draw_comparison, png_uri
from .tables import write_table

__all__ = [
    "draw_comparison",
    "html_table",
    "png_uri",
    "write_page",
    "write_table",
]
