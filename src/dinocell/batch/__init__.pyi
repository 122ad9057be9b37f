from .agreement import agree_on_scale, agree_on_target
from .measuring import MeasureSettings, PlaneMeasured, measure_labels
from .run import remove_leftovers, segment_files
from .settings import BatchSettings
from .sources import find_sources
from .spread import spread_files

__all__ = [
    "BatchSettings",
    "MeasureSettings",
    "PlaneMeasured",
    "agree_on_scale",
    "agree_on_target",
    "find_sources",
    "measure_labels",
    "remove_leftovers",
    "segment_files",
    "spread_files",
]
