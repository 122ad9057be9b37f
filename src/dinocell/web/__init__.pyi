from .static_site import write_static_site

__all__ = ["write_static_site"]
