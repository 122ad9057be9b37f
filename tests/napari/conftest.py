"""A viewer in a real window, with the plugin in it."""

import os
import sys
import warnings
from pathlib import Path

import pytest

from tests.napari import windows

HERE = Path(__file__).parent
OF_NAPARI = (
    "ignore:.*json_encoders:DeprecationWarning",  # its models, with the pydantic of today
    "ignore:Conversion from CIE-LAB:UserWarning",  # its colours of labels
)


def pytest_collection_modifyitems(items):
    """Pass warnings of napari's own code; all others are errors here as well."""
    for item in items:
        if HERE in item.path.parents:
            for warning in OF_NAPARI:
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture(scope="session")
def display():
    """Start what windows need; skip where that is not possible."""
    if not windows.may_open():
        pytest.skip(windows.REASON)
    windows.start_display()
    if not windows.opens():
        pytest.skip(windows.REASON)


@pytest.fixture(scope="session")
def napari(display, tmp_path_factory):
    """Import napari, with settings of its own, and register the plugin of this checkout."""
    os.environ["NAPARI_CONFIG"] = str(tmp_path_factory.mktemp("napari") / "settings.yaml")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of napari's own imports
        from npe2 import PluginManager

        import dinocell.napari
        import napari as imported

        manager = PluginManager.instance()
        manager.discover()
        if "dinocell" not in manager._manifests:
            from npe2 import PluginManifest

            manager.register(PluginManifest.from_file(f"{dinocell.napari.__path__[0]}/napari.yaml"))
    return imported


@pytest.fixture
def defects(monkeypatch):
    """Collect what is raised where Qt calls us, which would end the process, and raise it at the end."""
    raised = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: raised.append(error))
    yield raised
    if raised:
        raise raised[0]


@pytest.fixture
def viewer(napari, defects):
    """Open a window, and close it at the end."""
    opened = napari.Viewer(show=False)
    yield opened
    opened.close()
