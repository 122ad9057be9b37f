"""Plugin for napari: segment, correct, fine-tune and export, with reader, writer and sample data.

`napari.yaml` lists what it adds to napari. Only this room imports napari and Qt; what needs neither lies in
`reading`, `sources`, `segmenting`, `adjusting` and `features`, and most tests need no window.
"""
