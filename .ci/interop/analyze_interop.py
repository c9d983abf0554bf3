"""Objects against the field's own tools: the same components as cc3d and scipy, up to renaming; the same Rand error and
variation of information as scikit-image, the same matches as counting them one by one gives.

    python analyze_interop.py DEEP3M [DATA]

DATA holds real label volumes; without it only made-up volumes are compared, and that is said.
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import cc3d
import numpy as np
import scipy.ndimage
import scipy.sparse
import tifffile
import zarr
from skimage.metrics import adapted_rand_error, variation_of_information


def made_up():
    """Noise at several densities, and blobs, of sizes that no block divides."""
    random = np.random.default_rng(5)
    for share in (0.02, 0.1, 0.3, 0.5):
        yield f"noise, {share:.0%}", random.random((70, 130, 290)) < share
    smooth = scipy.ndimage.gaussian_filter(random.random((70, 300, 520)), (1.5, 3, 3))
    yield "blobs", smooth > np.quantile(smooth, 0.8)


def real(folder):
    """Every stack of labels below; of large ones a part."""
    kinds = ("labels", "membranes", "mitochondria", "psd", "vesicles", "ids")
    for path in sorted(path for path in folder.rglob("*.tif") if path.stem.endswith(kinds)):
        stack = tifffile.imread(path)
        if stack.ndim == 3 and len(stack) > 1:
            yield str(path.relative_to(folder)), stack[:70, :600, :600] > 0


def reference(mask, connectivity):
    """Numbers, and whether they need renaming: scipy and cc3d number in their own order."""
    if connectivity in (6, 18, 26):
        return cc3d.connected_components(mask, connectivity=connectivity, out_dtype=np.uint32)
    structure = np.zeros((3, 3, 3), bool)
    structure[1] = scipy.ndimage.generate_binary_structure(2, 1 if connectivity == 4 else 2)
    return scipy.ndimage.label(mask, structure)[0]


def same_up_to_renaming(a, b):
    """Whether two labellings are the same sets; and the objects of the first are numbered by their first voxels."""
    if not np.array_equal(a > 0, b > 0):
        return False
    inside = a > 0
    a, b = a[inside], b[inside]
    # Dense from 1 on, each met for the first time in its turn.
    highest = np.maximum.accumulate(a) if a.size else a
    if not np.array_equal(np.diff(highest, prepend=a.dtype.type(0)) > 1, np.zeros(a.size, bool)):
        return False
    pairs = np.unique(a.astype("u8") << np.uint64(32) | b.astype("u8"))
    return len(pairs) == (a.max() if a.size else 0) == len(np.unique(b))


def matches(predicted, truth, iou):
    """How many objects have a partner of at least this intersection over union."""
    table = scipy.sparse.coo_array(
        (np.ones(truth.size, "i8"), (predicted.ravel(), truth.ravel())), shape=(predicted.max() + 1, truth.max() + 1)
    ).tocsr()
    sizes_p, sizes_t = np.asarray(table.sum(1)).ravel(), np.asarray(table.sum(0)).ravel()
    pairs = table.tocoo()
    p, t = pairs.coords
    value = pairs.data / (sizes_p[p] + sizes_t[t] - pairs.data)
    good = (p > 0) & (t > 0) & (value >= iou)
    return len(np.unique(t[good])) if iou > 0.5 else None


def agree(deep3m, folder, predicted, truth):
    """Scores of one labelling against another."""
    for name, labels in (("a.zarr", predicted), ("b.zarr", truth)):
        stored = zarr.create_array(folder / name, shape=labels.shape, chunks=(32, 64, 64), dtype="u4", overwrite=True)
        stored[:] = labels.astype("u4")
    command = [deep3m, "evaluate", "a.zarr", "b.zarr", "--objects", "--json"]
    found = json.loads(subprocess.run(command, cwd=folder, check=True, capture_output=True).stdout)["objects"]
    # scikit-image 0.26 says precision of what its documentation calls recall: its table has the truth in rows.
    error, recall, precision = adapted_rand_error(truth, predicted)
    split, merge = variation_of_information(truth, predicted, ignore_labels=(0,))
    for key, expected in (("adapted_rand_error", error), ("rand_precision", precision), ("rand_recall", recall),
                          ("vi_split", split), ("vi_merge", merge)):
        assert abs(found[key] - expected) < 1e-9, f"{key}: found {found[key]}, scikit-image {expected}"
    for step in found["matches"]:
        expected = matches(predicted, truth, step["iou"])
        assert expected is None or step["true_positives"] == expected, f"IoU {step['iou']}: {step}, expected {expected}"


def main():
    deep3m = Path(sys.argv[1]).resolve()
    volumes = list(made_up())
    if len(sys.argv) > 2 and Path(sys.argv[2]).is_dir():
        volumes += list(real(Path(sys.argv[2])))
    else:
        print("SKIPPED: no real label volumes; give the folder that holds them")
    compared = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for name, mask in volumes:
            stored = zarr.create_array(folder / "mask.zarr", shape=mask.shape, chunks=(32, 64, 64), dtype="u1", overwrite=True)
            stored[:] = mask.astype("u1") * 255
            for connectivity in (4, 8, 6, 18, 26):
                command = [deep3m, "segment", "mask.zarr", "-o", "objects.zarr", "--overwrite", f"--connectivity={connectivity}"]
                subprocess.run(command, cwd=folder, check=True, capture_output=True)
                ours = zarr.open_array(folder / "objects.zarr" / "0", mode="r")[:]
                theirs = reference(mask, connectivity)
                assert same_up_to_renaming(ours, theirs), f"{name}, connectivity {connectivity}: other objects"
                compared += 1
            words = [deep3m, "segment", "mask.zarr", "-o", "filled.zarr", "--overwrite", "--fill-holes=1000000000", "--connectivity=26"]
            subprocess.run(words, cwd=folder, check=True, capture_output=True)
            filled = zarr.open_array(folder / "filled.zarr" / "0", mode="r")[:] > 0
            assert np.array_equal(filled, scipy.ndimage.binary_fill_holes(mask)), f"{name}: other holes"
            agree(deep3m, folder, reference(mask, 6), ours)
            print(f"{name}: {' x '.join(map(str, mask.shape))}, {ours.max()} objects (26), the same")
    print(f"{compared} labellings the same as those of cc3d and scipy; scores the same as scikit-image's")


if __name__ == "__main__":
    main()
