"""Measurements against the field's own tools: volume, place, box, axes and grey values as scikit-image's regionprops_table
gives them, nearest neighbours as scipy's, densities and contact distances as counting them one by one gives.

    python measure_interop.py DEEP3M [DATA]

DATA holds real label volumes; without it only made-up volumes are compared, and that is said.
"""
import csv
import subprocess
import sys
import tempfile
from pathlib import Path

import cc3d
import numpy as np
import scipy.ndimage
import tifffile
import zarr
from scipy.spatial import KDTree
from skimage.measure import regionprops_table

SPACING = (30.0, 8.0, 7.0)


def made_up():
    """Blobs and noise, of sizes that no block divides, with numbers that have gaps."""
    random = np.random.default_rng(7)
    smooth = scipy.ndimage.gaussian_filter(random.random((70, 210, 330)), (1.5, 4, 4))
    blobs = cc3d.connected_components(smooth > np.quantile(smooth, 0.85), connectivity=26, out_dtype=np.uint32)
    yield "blobs", blobs * np.uint32(3)
    noise = random.integers(0, 40, (20, 33, 45)).astype("u4")
    yield "noise of 39 numbers", noise * (noise > 0)


def real(folder):
    """Every stack of labels below, in objects; of large ones a part."""
    kinds = ("labels", "mitochondria", "psd", "vesicles", "ids")
    for path in sorted(path for path in folder.rglob("*.tif") if path.stem.endswith(kinds)):
        stack = tifffile.imread(path)
        if stack.ndim == 3 and len(stack) > 1:
            part = np.ascontiguousarray(stack[:64, :500, :600])
            if not path.stem.endswith("ids") and part.max() in (1, 255):
                part = cc3d.connected_components(part > 0, connectivity=26, out_dtype=np.uint32)
            if part.any():
                yield str(path.relative_to(folder)), part.astype("u4")


def store(path, array):
    stored = zarr.create_array(path, shape=array.shape, chunks=(32, 64, 64), dtype=array.dtype, overwrite=True)
    stored[:] = array


def run(folder, *words):
    return subprocess.run([str(word) for word in words], cwd=folder, check=True, capture_output=True, text=True).stdout


def table(path):
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    number = lambda text: np.nan if text == "" else float(text) if text not in ("true", "false") else text == "true"
    return {name: np.array([number(row[name]) for row in rows]) for name in (rows[0] if rows else [])}


def close(name, what, found, expected, within=1e-9, scale=None):
    found, expected = np.asarray(found, float), np.asarray(expected, float)
    scale = np.maximum(np.abs(expected), 1.0) if scale is None else scale
    assert np.array_equal(np.isnan(found), np.isnan(expected)), f"{name}: {what}: other values are missing"
    error = np.nanmax(np.abs(found - expected) / scale, initial=0.0)
    assert error <= within, f"{name}: {what}: off by {error:.2e}"


def compare(deep3m, folder, name, labels, grey):
    store(folder / "o.zarr", labels)
    store(folder / "g.zarr", grey)
    size = "--voxel-size=" + ",".join(map(str, SPACING))
    run(folder, deep3m, "measure", "o.zarr", "-o", "o.csv", "--intensity", "g.zarr", size)
    found = table(folder / "o.csv")
    properties = ("label", "num_pixels", "centroid", "bbox", "inertia_tensor_eigvals", "axis_major_length",
                  "axis_minor_length", "intensity_mean", "equivalent_diameter_area")
    expected = regionprops_table(labels, grey.astype("f8"), properties=properties, spacing=SPACING)
    assert np.array_equal(found["id"], expected["label"]), f"{name}: other objects"
    assert np.array_equal(found["voxels"], expected["num_pixels"]), f"{name}: other sizes"
    close(name, "volume", found["volume_um3"] * 1e9, expected["num_pixels"] * np.prod(SPACING))
    for i, axis in enumerate("zyx"):
        close(name, "centroid", found[f"centroid_{axis}_nm"], expected[f"centroid-{i}"])
        for end in (0, 1):
            assert np.array_equal(found[f"bbox_{axis}{end}_vx"], expected[f"bbox-{i + 3 * end}"]), f"{name}: other boxes"
    # Eigenvalues: scikit-image's are of the inertia tensor, its lengths √(20 c) of the covariance. Its moments are sums of
    # rounded numbers, and a root of what is nearly nothing magnifies their error: so squares are compared, against the longest axis.
    inertia = np.stack([expected[f"inertia_tensor_eigvals-{i}"] for i in range(3)])
    squares = 20 * (inertia.sum(0) / 2 - inertia)[::-1]
    scale = np.maximum(squares[0], 1.0)
    for i, which in enumerate(("major", "middle", "minor")):
        close(name, f"{which} axis", found[f"axis_{which}_nm"] ** 2, squares[i], 1e-9, scale)
    close(name, "axis_major_length", found["axis_major_nm"], expected["axis_major_length"])
    close(name, "mean intensity", found["mean_intensity"], expected["intensity_mean"])
    close(name, "equivalent diameter", found["equivalent_diameter_nm"], expected["equivalent_diameter_area"])
    # The section that has most: the first of several.
    ids, inverse = np.unique(labels, return_inverse=True)
    per_section = np.zeros((len(labels), len(ids)), "i8")
    np.add.at(per_section, (np.arange(len(labels))[:, None, None], inverse.reshape(labels.shape)), 1)
    per_section = per_section[:, ids > 0]
    assert np.array_equal(found["largest_section"], per_section.argmax(0)), f"{name}: other sections"
    edge = np.zeros(labels.shape, bool)
    for axis in range(3):
        np.moveaxis(edge, axis, 0)[[0, -1]] = True
    assert np.array_equal(found["touches_border"] > 0, np.isin(found["id"], labels[edge])), f"{name}: others at the border"
    if len(found["id"]) > 1:
        middles = np.stack([expected[f"centroid-{i}"] for i in range(3)], 1)
        close(name, "nearest neighbour", found["nearest_nm"], KDTree(middles).query(middles, k=2)[0][:, 1])
    return found


def compare_density(deep3m, folder, name, labels, found):
    tissue = np.zeros(labels.shape, "u1")
    tissue[:, labels.shape[1] // 5:, : 2 * labels.shape[2] // 3] = 1
    store(folder / "t.zarr", tissue)
    size = "--voxel-size=" + ",".join(map(str, SPACING))
    run(folder, deep3m, "density", "o.zarr", "--window", "240nm", "--step", "60nm", "--mask", "t.zarr", "-o", "d.csv", size)
    middles = np.stack([found[f"centroid_{axis}_nm"] for axis in "zyx"], 1)
    voxels = np.floor(middles / SPACING + 0.5).astype(int)
    inside = tissue[tuple(voxels.T)] > 0
    count = 0
    with open(folder / "d.csv", newline="") as file:
        for row in csv.DictReader(file):
            axis, first, planes = "zyx".index(row["axis"]), int(row["first_plane"]), int(row["planes"])
            slab = [slice(None)] * 3
            slab[axis] = slice(first, first + planes)
            volume = tissue[tuple(slab)].sum()
            objects = (inside & (voxels[:, axis] >= first) & (voxels[:, axis] < first + planes)).sum()
            assert int(row["objects"]) == objects, f"{name}: {row}"
            if volume:
                close(name, "density", float(row["objects_per_mm3"]), objects / (volume * np.prod(SPACING) * 1e-18))
                filled = ((labels[tuple(slab)] > 0) & (tissue[tuple(slab)] > 0)).sum() / volume
                close(name, "volume fraction", float(row["volume_fraction"]), filled)
            else:
                assert row["objects_per_mm3"] == "", f"{name}: {row}"
            count += 1
    return count


def compare_contacts(deep3m, folder, name, labels):
    """Which pairs are near, and how near: by the exact distance transform of each object, grown by a voxel, as the gap between
    faces is that of voxels one less apart."""
    part = np.ascontiguousarray(labels[:24, :100, :120])
    ids = np.unique(part[part > 0])[:40]
    part = np.where(np.isin(part, ids), part, 0).astype("u4")
    store(folder / "c.zarr", part)
    size = "--voxel-size=" + ",".join(map(str, SPACING))
    run(folder, deep3m, "contacts", "c.zarr", "c.zarr", "--distance", "31nm", "-o", "c.csv", "--sites", "s.csv", size)
    with open(folder / "c.csv", newline="") as file:
        found = {(int(row["a_id"]), int(row["b_id"])): row for row in csv.DictReader(file)}
    with open(folder / "s.csv", newline="") as file:
        sites = list(csv.DictReader(file))
    expected = {}
    cross = scipy.ndimage.generate_binary_structure(3, 1)
    for b in ids:
        grown = scipy.ndimage.binary_dilation(part == b, np.ones((3, 3, 3)))
        gap = scipy.ndimage.distance_transform_edt(~grown, sampling=SPACING)
        for a in ids[ids < b]:
            near = (part == a) & (gap <= 31)
            if near.any():
                # A surface voxel has a neighbour of another number across a face; beyond the volume all goes on as it is.
                rim = near & ~scipy.ndimage.binary_erosion(part == a, cross, border_value=1)
                expected[(int(a), int(b))] = (gap[near].min(), int(cc3d.connected_components(rim, connectivity=26).max()))
    assert set(found) == set(expected), f"{name}: other pairs: {set(found) ^ set(expected)}"
    for pair, (gap, count) in expected.items():
        close(name, f"distance of {pair}", float(found[pair]["distance_nm"]), gap, 1e-6)
        assert int(found[pair]["sites"]) == count, f"{name}: {pair}: {found[pair]['sites']} sites, expected {count}"
    assert len(sites) == sum(count for _, count in expected.values()), f"{name}: other sites"
    return len(found)


def main():
    deep3m = Path(sys.argv[1]).resolve()
    volumes = list(made_up())
    if len(sys.argv) > 2 and Path(sys.argv[2]).is_dir():
        volumes += list(real(Path(sys.argv[2])))
    else:
        print("SKIPPED: no real label volumes; give the folder that holds them")
    random = np.random.default_rng(3)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for i, (name, labels) in enumerate(volumes):
            grey = random.integers(0, 65535, labels.shape).astype("u2")
            if i % 2:
                grey = (grey / 7).astype("f4")
            found = compare(deep3m, folder, name, labels, grey)
            windows = compare_density(deep3m, folder, name, labels, found)
            pairs = compare_contacts(deep3m, folder, name, labels)
            print(f"{name}: {' x '.join(map(str, labels.shape))}, {len(found['id'])} objects, {windows} windows, {pairs} pairs: the same")
    print(f"{len(volumes)} volumes measured as scikit-image and scipy measure them")


if __name__ == "__main__":
    main()
