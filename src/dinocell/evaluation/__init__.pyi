from .report import write_report
from .run import EvaluationRun
from .scoring import ImageResult, evaluate_items
from .search import search_thresholds

__all__ = [
    "EvaluationRun",
    "ImageResult",
    "evaluate_items",
    "search_thresholds",
    "write_report",
]
