from .app import create_app
from .serving import serve
from .settings import Limits, ServerSettings, is_loopback
from .static_site import write_static_site

__all__ = [
    "Limits",
    "ServerSettings",
    "create_app",
    "is_loopback",
    "serve",
    "write_static_site",
]
