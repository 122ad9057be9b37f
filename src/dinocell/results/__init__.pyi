from .coco import write_coco
from .geojson import write_geojson
from .geojson_import import read_geojson
from .imagej_import import read_imagej_rois
from .imagej_rois import write_imagej_rois
from .label_images import write_label_npy, write_label_png
from .overlay import write_overlay
from .table import write_csv, write_parquet
from .zarr_labels import read_zarr_labels, write_zarr_labels

__all__ = [
    "read_geojson",
    "read_imagej_rois",
    "read_zarr_labels",
    "write_coco",
    "write_csv",
    "write_geojson",
    "write_imagej_rois",
    "write_label_npy",
    "write_label_png",
    "write_overlay",
    "write_parquet",
    "write_zarr_labels",
]
