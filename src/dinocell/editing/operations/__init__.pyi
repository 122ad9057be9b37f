from .add import Add
from .delete import Delete
from .merge import Merge
from .operation import Operation, Outcome, Scene
from .paint import Paint
from .split import Split

__all__ = ["Add", "Delete", "Merge", "Operation", "Outcome", "Paint", "Scene", "Split"]
