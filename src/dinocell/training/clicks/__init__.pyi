from .config import ClickConfig
from .loop import ClickStep, train_clicks

__all__ = ["ClickConfig", "ClickStep", "train_clicks"]
