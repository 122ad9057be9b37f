"""The page in the browser, and the HTTP API that it and scripts use: server, jobs, files."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
