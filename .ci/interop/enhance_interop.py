"""`enhance` and `check` against scikit-image: histogram matching, percentiles, noise, total variation, non-local means, CLAHE,
CDeep3M2's own recipe, and the shifts between sections.

    python enhance_interop.py DEEP3M [DATA]

DATA holds real volumes; without it only made-up ones are compared, and that is said.
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import scipy.ndimage
import tifffile
from skimage import exposure, registration, restoration, util


def made_up():
    """Smooth cells with noise, in 8 and 16 bits."""
    random = np.random.default_rng(7)
    smooth = scipy.ndimage.gaussian_filter(random.standard_normal((6, 210, 190)), (1, 4, 4))
    cells = 120 + 50 * np.tanh(40 * smooth) + 8 * random.standard_normal(smooth.shape)
    yield "cells, 8 bits", np.clip(cells, 0, 255).round().astype("u1")
    yield "cells, 16 bits", np.clip(cells * 37 + 900, 0, 65535).round().astype("u2")


def real(folder):
    for name in ("lucchi-mito/images.tif", "vnc/images.tif", "nuclei-3d/stardist-images.tif"):
        yield name, np.ascontiguousarray(tifffile.imread(folder / name)[:5, :300, :330])


class Tool:
    def __init__(self, program, folder):
        self.program, self.folder = program, folder

    def enhance(self, volume, *options):
        tifffile.imwrite(self.folder / "in.tif", volume)
        words = [self.program, "enhance", "in.tif", "-o", "out.tif", "--overwrite", "--json", *options]
        said = subprocess.run(words, cwd=self.folder, check=True, capture_output=True).stdout
        return tifffile.imread(self.folder / "out.tif").astype(float), json.loads(said)["measured"]


def matching(tool, volume, reference):
    tifffile.imwrite(tool.folder / "reference.tif", reference)
    ours, _ = tool.enhance(volume, "--match", "reference.tif")
    theirs = exposure.match_histograms(volume.astype(float).round().astype(volume.dtype), reference)
    worst = np.abs(ours - np.asarray(theirs, float)).max()
    assert worst <= 1, f"histogram matching differs by {worst} grey values"
    return f"match {worst:.2f}"


def contrast(tool, volume):
    ours, found = tool.enhance(volume, "--contrast", "0.5,99.5")
    low, high = np.percentile(volume, (0.5, 99.5), method="inverted_cdf")
    assert found["contrast"] == [low, high], f"percentiles {found['contrast']}, numpy {low}, {high}"
    full = np.iinfo(volume.dtype).max
    theirs = exposure.rescale_intensity(volume.astype(float), in_range=(float(low), float(high)), out_range=(0, full))
    worst = np.abs(ours - theirs).max()
    assert worst <= 0.51, f"contrast differs by {worst}"
    return f"contrast {worst:.2f}"


def denoising(tool, volume):
    sections = [s.astype(float) for s in volume]
    expected = np.median([restoration.estimate_sigma(s) for s in sections])
    tv, found = tool.enhance(volume, "--denoise", "tv")
    sigma = found["noise"]
    assert abs(sigma - expected) < 1e-3 * expected, f"noise {sigma}, scikit-image {expected}"
    # As many steps, and no end before.
    theirs = np.stack([restoration.denoise_tv_chambolle(s, weight=sigma, eps=0, max_num_iter=40) for s in sections])
    worst = np.abs(tv - theirs).max()
    assert worst <= 0.51 + 1e-3 * theirs.max(), f"total variation differs by {worst}"
    nlm, _ = tool.enhance(volume, "--denoise", "nlm")
    expected = np.stack([non_local_means(s, sigma, 0.8 * sigma) for s in sections])
    off = np.abs(nlm - expected).max()
    assert off <= 0.51 + 1e-3 * expected.max(), f"non-local means differ by {off} from their definition"
    # Its fast way compares 4 × 4 pixels and counts a pixel itself twice; it is not held to be the same.
    options = dict(patch_size=5, patch_distance=5, h=0.8 * sigma, sigma=sigma, fast_mode=True, preserve_range=True)
    theirs = np.stack([restoration.denoise_nl_means(s, **options) for s in sections])
    apart = np.abs(nlm - theirs).mean()
    return f"noise {sigma:.2f}, tv {worst:.2f}, nlm {off:.2f} (scikit-image's fast way {apart:.2f} on average)"


def non_local_means(image, sigma, strength):
    """By its definition: patches of 5 × 5 pixels, search within 11 × 11."""
    framed = np.pad(image, 7, mode="reflect")
    height, width = image.shape
    here = framed[5 : height + 9, 5 : width + 9]
    sums, weights = np.zeros_like(image), np.zeros_like(image)
    for y in range(11):
        for x in range(11):
            there = framed[y : y + height + 4, x : x + width + 4]
            windows = np.lib.stride_tricks.sliding_window_view((here - there) ** 2, (5, 5))
            distance = np.maximum(windows.mean((2, 3)) - 2 * sigma**2, 0)
            weight = np.exp(-distance / strength**2)
            sums += weight * there[2:-2, 2:-2]
            weights += weight
    return sums / weights


def equalising(tool, volume):
    ours, _ = tool.enhance(volume, "--clahe")
    full = np.iinfo(volume.dtype).max
    low, high = float(volume.min()), float(volume.max())
    grey = (volume - low) / (high - low)
    # Each section of its own would be stretched to its own range.
    theirs = []
    for section in grey:
        marked = section.copy()
        marked.flat[0], marked.flat[-1] = 0, 1
        theirs.append(exposure.equalize_adapthist(marked, clip_limit=0.01))
    theirs = full * np.stack(theirs)
    r = np.corrcoef(ours.ravel(), theirs.ravel())[0, 1]
    apart = np.abs(ours - theirs).mean() / full
    return f"clahe: correlation {r:.4f}, {100 * apart:.1f} % of the scale apart", r


def recipe(tool, volume):
    ours, _ = tool.enhance(volume, "--like", "cdeep3m2")
    theirs = []
    for section in volume:
        image = util.img_as_float(section)
        image = exposure.rescale_intensity(image, in_range=tuple(np.percentile(image, (1, 99))), out_range=(0, 1))
        image = restoration.denoise_tv_chambolle(image, weight=restoration.estimate_sigma(image) / 2)
        image = exposure.rescale_intensity(image, in_range=tuple(np.percentile(image, (2, 98))), out_range=(0, 1))
        theirs.append(util.img_as_ubyte(image))
    worst = np.abs(ours - np.stack(theirs).astype(float)).max()
    assert worst <= 1, f"CDeep3M2's recipe differs by {worst}"
    return f"cdeep3m2 {worst:.0f}"


def shifts(tool, image):
    """An image cut out at several places of a larger one."""
    moves = np.array([(0, 0), (3, -2), (-5, 7), (0, 11), (8, 8), (-9, -3), (2, 2)])
    size = min(256, min(image.shape) - 24)
    stack = np.stack([image[12 - y : 12 - y + size, 12 - x : 12 - x + size] for y, x in moves])
    tifffile.imwrite(tool.folder / "moved.tif", stack)
    words = [tool.program, "check", "moved.tif", "--json"]
    found = json.loads(subprocess.run(words, cwd=tool.folder, capture_output=True).stdout)
    worst = 0
    for i in range(1, len(moves)):
        ours = np.array(found["images"]["sections"][i]["shift"])
        theirs = -registration.phase_cross_correlation(stack[i - 1], stack[i], upsample_factor=10)[0]
        expected = moves[i] - moves[i - 1]
        worst = max(worst, np.abs(ours - expected).max())
        assert np.abs(ours - theirs).max() < 0.5 or np.abs(theirs - expected).max() > 0.5, f"{ours}, scikit-image {theirs}, true {expected}"
    assert worst < 0.5, f"a shift is {worst} pixels off"
    return f"shifts within {worst:.2f} pixels"


def main():
    volumes = list(made_up())
    if len(sys.argv) > 2 and Path(sys.argv[2]).is_dir():
        volumes += list(real(Path(sys.argv[2])))
    else:
        print("SKIPPED: no real volumes; give the folder that holds them")
    with tempfile.TemporaryDirectory() as folder:
        tool = Tool(Path(sys.argv[1]).resolve(), Path(folder))
        reference = volumes[0][1]
        for name, volume in volumes:
            other = (255 - reference // 2) if volume is reference else reference
            clahe, r = equalising(tool, volume)
            said = [matching(tool, volume, other), contrast(tool, volume), denoising(tool, volume), recipe(tool, volume), clahe]
            # scikit-image's parts are an eighth of a side, cut to whole pixels: in small sections others than ours.
            assert r > (0.99 if min(volume.shape[1:]) > 100 else 0.9), f"{name}: {clahe}"
            if min(volume.shape[1:]) > 100:
                said.append(shifts(tool, volume[0]))
            print(f"{name}: {'; '.join(said)}")


if __name__ == "__main__":
    main()
