from .planes import ResultImage, ResultPlane, find_results
from .summary import write_summary

__all__ = ["ResultImage", "ResultPlane", "find_results", "write_summary"]
