"""Scores against the field's own tools: precision, recall, F1, calibration and isotonic regression of scikit-learn, distances of
scipy's distance transform (as MONAI takes them), the assignment of scipy's linear_sum_assignment, and SimpleITK's STAPLE.

    python evaluate_interop.py DEEP3M [DATA]

DATA holds real label volumes; without it only made-up volumes are compared, and that is said.
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import scipy.ndimage
import SimpleITK
import tifffile
import zarr
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from sklearn.calibration import calibration_curve
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss, jaccard_score, precision_recall_fscore_support

RANDOM = np.random.default_rng(11)


def close(name, found, expected, within=1e-9):
    assert abs(found - expected) <= within * max(1, abs(expected)), f"{name}: found {found}, expected {expected}"


def run(deep3m, folder, *words):
    command = [deep3m, "evaluate", *map(str, words), "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True)
    assert done.returncode == 0, f"{words}: {done.stderr.decode()}"
    return json.loads(done.stdout)


def write(path, voxels):
    stored = zarr.create_array(path, shape=voxels.shape, chunks=(16, 64, 64), dtype=voxels.dtype, overwrite=True)
    stored[:] = voxels


def volumes(data):
    """Masks, with the size of their voxels: blobs, and real mitochondria."""
    smooth = scipy.ndimage.gaussian_filter(RANDOM.random((40, 200, 230)), (1.5, 4, 4))
    yield "blobs", smooth > np.quantile(smooth, 0.8), (30, 8, 8)
    # Objects that lie far apart, so that most surfaces have no partner nearby.
    sparse = np.zeros((60, 150, 300), bool)
    sparse[5:12, 10:30, 10:40] = sparse[40:50, 100:130, 220:280] = True
    yield "sparse", sparse, (4.6, 0.7, 1.1)
    if data:
        labels = tifffile.imread(data / "lucchi-mito" / "labels.tif") > 0
        yield "mitochondria", labels[:64, :500, :600], (5, 5, 5)


def prediction_of(mask):
    """A probability that follows a mask with errors: smooth, shifted by a voxel, noisy, with objects that are not there."""
    moved = np.roll(mask, (1, 2, -3), (0, 1, 2)).astype("f4")
    soft = scipy.ndimage.gaussian_filter(moved, 2) + RANDOM.normal(0, 0.08, mask.shape)
    soft[-9:-4, -20:-8, 5:30] = 0.9
    return np.clip(soft * 255, 0, 255).astype("u1")


def surface(mask):
    return mask & ~scipy.ndimage.binary_erosion(mask)


def distances(a, b, spacing):
    """As MONAI: all of one surface to the nearest of the other, both ways."""
    a, b = surface(a), surface(b)
    there = scipy.ndimage.distance_transform_edt(~b, sampling=spacing)[a]
    back = scipy.ndimage.distance_transform_edt(~a, sampling=spacing)[b]
    return there, back


def voxels(deep3m, folder, mask, spacing):
    prediction = prediction_of(mask)
    write(folder / "p.zarr", prediction)
    write(folder / "t.zarr", mask.astype("u1") * 255)
    size = ",".join(map(str, spacing))
    words = ("p.zarr", "t.zarr", "--surface", "--calibration", "--calibration-file", "c.json", "--voxel-size", size)
    found = run(deep3m, folder, *words)
    truth, p = mask.ravel(), prediction.ravel() / 255
    precision, recall, f1, _ = precision_recall_fscore_support(truth, p >= 0.5, average="binary")
    expected = {"precision": precision, "recall": recall, "f1": f1, "jaccard": jaccard_score(truth, p >= 0.5)}
    for key, value in expected.items():
        close(key, found["voxel"][0][key], value)

    calibration = found["calibration"]
    close("Brier score", calibration["brier_score"], brier_score_loss(truth, p))
    shares, means = calibration_curve(truth, p, n_bins=20)
    bins = [b for b in calibration["bins"] if b["voxels"]]
    assert len(bins) == len(shares)
    for b, share, mean in zip(bins, shares, means):
        close("bin's probability", b["mean_probability"], mean)
        close("bin's foreground", b["foreground"], share)
    weights = np.array([b["voxels"] for b in bins])
    close("ECE", calibration["expected_calibration_error"], np.average(np.abs(shares - means), weights=weights))
    curve = json.loads((folder / "c.json").read_text())
    assert (curve["version"], curve["kind"], curve["input_full_scale"]) == (1, "calibration", 255)
    fitted = IsotonicRegression(out_of_bounds="clip").fit(prediction.ravel().astype("f8"), truth.astype("f8"))
    for value, (ours, theirs) in enumerate(zip(curve["probability"], fitted.predict(np.arange(256.0)), strict=True)):
        close(f"calibrated {value}", ours, theirs)

    there, back = distances(prediction >= 128, mask, spacing)
    ours = found["surface"]
    assert ours["unit"] == "nm"
    for way, all_of_it in (("prediction_to_truth", there), ("truth_to_prediction", back)):
        assert ours[way]["voxels"] == len(all_of_it), way
        close(f"{way} mean", ours[way]["mean"], all_of_it.mean())
        close(f"{way} 95 %", ours[way]["percentile_95"], np.percentile(all_of_it, 95))
        close(f"{way} max", ours[way]["max"], all_of_it.max())
    close("mean surface distance", ours["mean"], np.concatenate([there, back]).mean())
    close("Hausdorff 95 %", ours["hausdorff_95"], max(np.percentile(there, 95), np.percentile(back, 95)))
    close("Hausdorff", ours["hausdorff"], max(there.max(), back.max()))
    return f"Hausdorff 95 % {ours['hausdorff_95']:.2f} nm, ECE {calibration['expected_calibration_error']:.4f}"


def annotators(deep3m, folder, mask):
    """Five people who see borders elsewhere and miss or invent things."""
    votes = []
    for shift, erode, share in (((0, 1, 1), 0, 0.01), ((0, -1, 0), 1, 0.002), ((0, 0, 2), -1, 0.02), ((1, 0, 0), 2, 0), ((0, 2, -1), 0, 0.05)):
        seen = np.roll(mask, shift, (0, 1, 2))
        if erode > 0:
            seen = scipy.ndimage.binary_erosion(seen, iterations=erode)
        elif erode < 0:
            seen = scipy.ndimage.binary_dilation(seen, iterations=-erode)
        votes.append(seen ^ (RANDOM.random(mask.shape) < share))
    for i, vote in enumerate(votes):
        write(folder / f"a{i}.zarr", vote.astype("u1"))
    for n in (2, 3, 5):
        names = [f"a{i}.zarr" for i in range(n)]
        found = run(deep3m, folder, "p.zarr", *names, "--annotators", "--exclusion", "0,1")
        staple = SimpleITK.STAPLEImageFilter()
        staple.SetForegroundValue(1)
        images = [SimpleITK.GetImageFromArray(vote.astype("u1")) for vote in votes[:n]]
        consensus = SimpleITK.GetArrayFromImage(staple.Execute(images)) >= 0.5
        for ours, sensitivity, specificity in zip(found["staple"]["annotators"], staple.GetSensitivity(), staple.GetSpecificity()):
            close("sensitivity", ours["sensitivity"], sensitivity, 1e-6)
            close("specificity", ours["specificity"], specificity, 1e-6)
        assert found["staple_voxels"] == consensus.sum(), f"{n}: {found['staple_voxels']}, SimpleITK {consensus.sum()}"
        majority = 2 * sum(vote.astype("i4") for vote in votes[:n]) > n
        assert found["majority_voxels"] == majority.sum()
        raters = [prediction_mask(folder)] + votes[:n]
        for row in found["against_consensus"]:
            if row["exclusion"] == 0:
                truth = {"majority": majority, "staple": consensus}[row["consensus"]]
                close("F1", row["f1"], f1_of(raters[row["rater"]], truth))
        for row in found["pairs"]:
            close("F1 of a pair", row["f1"], f1_of(raters[row["rater"]], raters[row["truth"]]))
    return f"STAPLE {found['staple_voxels']}, majority {found['majority_voxels']} voxels"


def prediction_mask(folder):
    return zarr.open_array(folder / "p.zarr", mode="r")[:] >= 128


def f1_of(found, truth):
    return 2 * (found & truth).sum() / (found.sum() + truth.sum())


def points(deep3m, folder, name, truth, predicted, limit):
    """Tables of places; with scipy the best assignment, most matches first."""
    for path, places in (("a.csv", predicted), ("b.csv", truth)):
        rows = [",".join(f"{v!r}" for v in place) for place in places.tolist()]
        (folder / path).write_text("\n".join(["centroid_z_nm,centroid_y_nm,centroid_x_nm", *rows, ""]))
    found = run(deep3m, folder, "a.csv", "b.csv", "--points", "--distance", f"{limit}nm")["points"]
    apart = cdist(predicted, truth)
    cost = np.where(apart <= limit, apart, 1e3 * limit * len(truth))
    rows, columns = linear_sum_assignment(cost)
    good = apart[rows, columns] <= limit
    matched = np.sort(apart[rows, columns][good])
    assert found["true_positives"] == good.sum(), f"{name}: {found}, scipy {good.sum()}"
    close("mean distance", found["mean_distance"], matched.mean())
    close("F1", found["f1"], 2 * good.sum() / (len(predicted) + len(truth)))
    return f"{name}: {len(predicted)} and {len(truth)} places, {good.sum()} matches"


def places(deep3m, folder, data):
    for count, limit in ((50, 200), (1500, 60), (1500, 150)):
        truth = RANDOM.random((count, 3)) * 1000
        keep = RANDOM.random(count) < 0.9
        predicted = np.concatenate([truth[keep] + RANDOM.normal(0, 20, (keep.sum(), 3)), RANDOM.random((count // 8, 3)) * 1000])
        print(points(deep3m, folder, f"random, {limit} nm", truth, predicted, limit))
    if data:
        ids = tifffile.imread(data / "nuclei-3d" / "ovule-1135-ids.tif")
        size = np.array([284, 127, 127])
        there = np.unique(ids[ids > 0])
        truth = np.array(scipy.ndimage.center_of_mass(ids > 0, ids, there)) * size
        predicted = np.concatenate([truth[5:] + RANDOM.normal(0, 400, (len(truth) - 5, 3)), truth[:20] + 3000])
        print(points(deep3m, folder, "nuclei", truth, predicted, 1500))
        # The same from the labels themselves.
        write(folder / "ids.zarr", ids.astype("u4"))
        words = ("a.csv", "ids.zarr", "--points", "--distance", "1500nm", "--voxel-size", "284,127,127")
        labels = run(deep3m, folder, *words)["points"]
        tables = run(deep3m, folder, "a.csv", "b.csv", "--points", "--distance", "1500nm")["points"]
        assert labels["true_positives"] == tables["true_positives"]
        close("centroids", labels["mean_distance"], tables["mean_distance"])


def main():
    deep3m = Path(sys.argv[1]).resolve()
    data = Path(sys.argv[2]) if len(sys.argv) > 2 and Path(sys.argv[2]).is_dir() else None
    if data is None:
        print("SKIPPED: no real label volumes; give the folder that holds them")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for name, mask, spacing in volumes(data):
            said = voxels(deep3m, folder, mask, spacing)
            print(f"{name}: {' x '.join(map(str, mask.shape))}, {said}; {annotators(deep3m, folder, mask)}")
        places(deep3m, folder, data)
    print("scores, curves, distances, consensus and assignments the same as scikit-learn's, scipy's and SimpleITK's")


if __name__ == "__main__":
    main()
