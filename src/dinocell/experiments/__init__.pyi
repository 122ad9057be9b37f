from .planes import ResultPlane, find_planes
from .summary import write_summary

__all__ = ["ResultPlane", "find_planes", "write_summary"]
