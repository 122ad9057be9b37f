from .comparison import OwnTool, ToolProgress, ToolResult, compare
from .comparison_table import comparison_rows, split_by_dataset
from .output import write_evaluation, write_thresholds
from .predictions import check_distinct_files
from .report import write_report
from .run import EvaluationProgress, EvaluationRun
from .scoring import ImageResult, evaluate_items, pool_results
from .search import GridPoint, search_thresholds
from .tables import pooled_upper_bound
from .tuning import TuneResult, tune

__all__ = [
    "EvaluationProgress",
    "EvaluationRun",
    "GridPoint",
    "ImageResult",
    "OwnTool",
    "ToolProgress",
    "ToolResult",
    "TuneResult",
    "check_distinct_files",
    "compare",
    "comparison_rows",
    "evaluate_items",
    "pool_results",
    "pooled_upper_bound",
    "search_thresholds",
    "split_by_dataset",
    "tune",
    "write_evaluation",
    "write_report",
    "write_thresholds",
]
