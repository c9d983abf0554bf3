"""The watershed of `segment` against scipy and scikit-image: from the same distances (scipy) and smoothed probabilities (scipy),
as many objects as there are h-maxima (scikit-image), and nearly the same voxels as flooding from these as markers gives.

    python watershed_interop.py DEEP3M [DATA]

DATA holds real label volumes; without it only made-up volumes are compared, and that is said.
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import scipy.ndimage
import tifffile
import zarr
from skimage.metrics import adapted_rand_error
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

EVERYWHERE = np.ones((3, 3, 3), bool)


def segment(deep3m, folder, volume, voxel, *words):
    """The objects that deep3m finds, and what it says of them."""
    stored = zarr.create_array(folder / "in.zarr", shape=volume.shape, chunks=(32, 64, 64), dtype=volume.dtype, overwrite=True)
    stored[:] = volume
    size = ",".join(f"{side}" for side in voxel)
    command = [deep3m, "segment", "in.zarr", "-o", "out.zarr", "--voxel-size", size, "--overwrite", "--json", *words]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return zarr.open(folder / "out.zarr/0", mode="r")[:], json.loads(done.stdout)


def compare(name, found, said, heights, h):
    """Objects against flooding the heights from their h-maxima."""
    mask = heights > 0
    assert np.array_equal(found > 0, mask), f"{name}: another foreground"
    # What rises by less than h above the pass to a higher peak is none; heights are whole numbers. (skimage's `h_maxima` marks
    # each of several equally high peaks, whatever the pass between them.)
    lowered = reconstruction(heights - (np.ceil(h) - 0.5), heights, footprint=EVERYWHERE)
    maxima = local_maxima(lowered, connectivity=3) & mask
    # What touches nothing is an object, however flat it is.
    alone, parts = scipy.ndimage.label(mask, EVERYWHERE)
    has_none = scipy.ndimage.maximum(maxima, alone, np.arange(parts + 1)) == 0
    has_none[0] = False
    markers, count = scipy.ndimage.label(maxima | has_none[alone], EVERYWHERE)
    expected = watershed(-heights, markers, connectivity=EVERYWHERE, mask=mask)
    error = adapted_rand_error(expected, found)[0]
    print(f"{name}: {said['objects']} objects, {count} maxima, adapted Rand error {error:.4f}")
    assert said["objects"] == count == found.max(), f"{name}: {said['objects']} objects, {count} maxima"
    assert error < 0.03, f"{name}: {error}"


def made_up():
    """Balls that touch, with voxels that are cubes and with some that are not."""
    random = np.random.default_rng(3)
    for voxel, shape in (((8, 8, 8), (60, 130, 170)), ((30, 8, 8), (20, 140, 180))):
        centres = random.random((60, 3)) * np.array(shape) * voxel
        grid = np.moveaxis(np.indices(shape), 0, -1) * np.array(voxel)
        mask = np.zeros(shape, bool)
        for centre in centres:
            mask |= ((grid - centre) ** 2).sum(-1) < random.uniform(60, 110) ** 2
        yield f"balls of {voxel} nm", mask, voxel


def real(folder):
    """Nuclei that touch, and mitochondria."""
    for path, voxel in (
        ("nuclei-3d/ovule-1135-ids.tif", (284, 127, 127)),
        ("nuclei-3d/ovule-1136-ids.tif", (284, 127, 127)),
        ("lucchi-mito/labels.tif", (5, 5, 5)),
    ):
        if (folder / path).exists():
            yield path, tifffile.imread(folder / path)[:64, :400, :400] > 0, voxel
        else:
            print(f"SKIPPED: {folder / path} is not there")


def main():
    deep3m = str(Path(sys.argv[1]).resolve())
    volumes = list(made_up())
    data = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    if data and data.is_dir():
        volumes += real(data)
    else:
        print("SKIPPED: no real volumes; only made-up ones are compared")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for name, mask, voxel in volumes:
            step = min(voxel) / 16
            distances = np.round(scipy.ndimage.distance_transform_edt(mask, voxel) / step)
            distances = np.where(mask, np.maximum(distances, 1), 0)
            for h in (1, 3):
                found, said = segment(
                    deep3m, folder, mask.astype("u1"), voxel, "--threshold", "0.001", "--watershed", "--h", f"{h}vx"
                )
                h_nm = h * (voxel[1] + voxel[2]) / 2
                compare(f"{name}, distances, h {h_nm:.0f} nm", found, said, distances, h_nm / step)
            # Blurred as a prediction is.
            wide = 2 * voxel[1]
            blurred = scipy.ndimage.gaussian_filter(mask * 255.0, [wide / side for side in voxel])
            prediction = np.round(blurred).astype("u1")
            sigma = 3 * voxel[1]
            smooth = scipy.ndimage.gaussian_filter(prediction / 255.0, [sigma / side for side in voxel], mode="reflect")
            heights = np.where(prediction >= 128, np.maximum(np.round(smooth * 65535), 1), 0)
            found, said = segment(
                deep3m, folder, prediction, voxel, "--watershed", "probability", "--smooth", f"{sigma}nm", "--h", "0.02"
            )
            compare(f"{name}, probabilities", found, said, heights, 0.02 * 65535)
    print("passed")


main()
