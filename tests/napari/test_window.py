"""The plugin in a real window."""


def test_the_smoke_of_the_plugin(viewer):
    viewer.open_sample("dinocell", "phase_1")
    assert viewer.layers[0].data.shape == (384, 512)
