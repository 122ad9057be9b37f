from .change import Change
from .edit import Edit
from .editor import LabelEditor
from .journal import Journal, read_journal, write_journal
from .operations import Add, Delete, Merge, Operation, Paint, Scene, Split

__all__ = [
    "Add",
    "Change",
    "Delete",
    "Edit",
    "Journal",
    "LabelEditor",
    "Merge",
    "Operation",
    "Paint",
    "Scene",
    "Split",
    "read_journal",
    "write_journal",
]
