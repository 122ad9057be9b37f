from .app import create_app
from .serving import serve
from .settings import Limits, ServerSettings, is_loopback

__all__ = [
    "Limits",
    "ServerSettings",
    "create_app",
    "is_loopback",
    "serve",
]
