from .change import Change
from .edit import Edit
from .editor import LabelEditor
from .files import replay_file
from .journal import ENDING, Journal, read_journal, write_journal
from .operations import Add, Delete, Merge, Operation, Paint, Scene, Split

__all__ = [
    "ENDING",
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
    "replay_file",
    "write_journal",
]
