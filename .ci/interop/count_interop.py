"""Counting against the field's own tools: labels as scikit-image measures them; balls that touch as a watershed on the distance
transform (scipy, scikit-image) separates them.

    python count_interop.py DEEP3M
"""
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import scipy.ndimage
import scipy.spatial
import zarr
from skimage.feature import peak_local_max
from skimage.measure import regionprops
from skimage.segmentation import watershed


def store(path, voxels):
    stored = zarr.create_array(path, shape=voxels.shape, chunks=(32, 64, 64), dtype=voxels.dtype, overwrite=True)
    stored[:] = voxels


def count(deep3m, folder, *words):
    command = [deep3m, "count", *words, "-o", "table.csv", "--json"]
    summary = json.loads(subprocess.run(command, cwd=folder, check=True, capture_output=True).stdout)
    with open(folder / "table.csv", newline="") as file:
        return summary, list(csv.DictReader(file))


def labels_agree(deep3m, folder):
    """Noise of a few labels, in blocks that no chunk follows."""
    random = np.random.default_rng(3)
    labels = scipy.ndimage.zoom(random.integers(0, 400, (10, 20, 30)), (7, 7, 7), order=0).astype("u4")
    labels[labels > 250] = 0
    store(folder / "labels.zarr", labels)
    _, rows = count(deep3m, folder, "labels.zarr", "--voxel-size", "30,8,8")
    regions = regionprops(labels)
    assert len(rows) == len(regions), f"{len(rows)} rows, {len(regions)} regions"
    for row, region in zip(rows, regions):
        assert int(row["id"]) == region.label
        found = np.array([float(row[axis]) for axis in "zyx"])
        assert np.allclose(found, region.centroid, atol=1e-6), f"{region.label}: {found}, {region.centroid}"
        radius = (region.area * 30 * 8 * 8 * 3 / (4 * np.pi)) ** (1 / 3)
        assert abs(float(row["radius_nm"]) - radius) < 1e-6
        sections = np.bincount(region.coords[:, 0])
        assert int(row["plane"]) == sections.argmax()
    print(f"{len(rows)} labels: centroids, radii and planes as scikit-image has them")


def balls_agree(deep3m, folder):
    """Balls of 40 nm in voxels of 5 nm, thrown so that none overlap: their number is known, and a watershed finds it, too."""
    random = np.random.default_rng(7)
    shape, centres = np.array((80, 90, 100)), []
    for centre in random.random((20000, 3)) * (shape - 10) + 5:
        if all(np.sum((centre - other) ** 2) >= 8.4**2 for other in centres):
            centres.append(centre)
    mask = np.zeros(shape, bool)
    for centre in centres:
        low = np.floor(centre - 5).astype(int)
        box = tuple(slice(max(v, 0), v + 12) for v in low)
        grid = np.stack(np.meshgrid(*[np.arange(s.start, min(s.stop, n)) for s, n in zip(box, shape)], indexing="ij"))
        mask[box] |= ((grid - centre[:, None, None, None]) ** 2).sum(0) <= 16
    store(folder / "balls.zarr", mask.astype("u1") * 255)
    _, rows = count(deep3m, folder, "balls.zarr", "--voxel-size", "5,5,5", "--diameter", "40nm")
    distance = scipy.ndimage.distance_transform_edt(mask)
    peaks = peak_local_max(scipy.ndimage.gaussian_filter(distance, 1), min_distance=3, labels=mask.astype(int))
    seeds = np.zeros(shape, int)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    separated = watershed(-distance, seeds, mask=mask).max()
    print(f"{len(centres)} balls: {len(rows)} counted, {separated} by a watershed")
    assert abs(len(rows) - len(centres)) <= 0.01 * len(centres)
    found = np.array([[float(row[axis]) for axis in "zyx"] for row in rows])
    tree = scipy.spatial.cKDTree(found)
    off, _ = tree.query(np.array(centres))
    assert np.quantile(off, 0.99) < 1, f"99 % of centres within {np.quantile(off, 0.99):.2f} voxels"


def main():
    deep3m = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        labels_agree(deep3m, Path(folder))
        balls_agree(deep3m, Path(folder))


if __name__ == "__main__":
    main()
