from .app import create_app
from .serving import serve
from .settings import TOKEN_LETTERS, Limits, ServerSettings, is_loopback
from .static_site import write_static_site

__all__ = [
    "TOKEN_LETTERS",
    "Limits",
    "ServerSettings",
    "create_app",
    "is_loopback",
    "serve",
    "write_static_site",
]
