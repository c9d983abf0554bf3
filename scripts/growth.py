#!/usr/bin/env python3
"""Time and memory of a prediction against the volume's size, as a table and a plot: linear in voxels, flat in memory.

    cargo build --release -p deep3m
    scripts/growth.py OUT [--sizes 8,256,256:16,512,512:…] [--plot docs/pictures/growth.svg] [--memory 1GB]

OUT is a new folder; the largest phantom (64 x 4096 x 4096) takes 1.1 GB there, its prediction up to as much. The model sees
one section and has a quarter of the width; its weights are those of one iteration, which take the time of any.
"""

import argparse
import json
import math
import subprocess
from pathlib import Path

DEEP3M = Path(__file__).resolve().parents[1] / "target/release/deep3m"
SIZES = "8,256,256:16,512,512:16,1024,1024:32,2048,2048:64,4096,4096"


def run(*words):
    return subprocess.run([DEEP3M, *map(str, words)], check=True, stdout=subprocess.PIPE, text=True).stdout


def panel(left, title, unit, points, slope):
    """A log-log panel: the points, and the line of `slope` through the last."""
    width, height, bottom = 300, 220, 260
    xs, ys = [math.log10(x) for x, _ in points], [math.log10(y) for _, y in points]
    low, high = math.floor(min(ys)), max(math.ceil(max(ys)), math.floor(min(ys)) + 1)
    first, last = math.floor(min(xs)), math.ceil(max(xs))
    x = lambda v: left + width * (v - first) / (last - first)
    y = lambda v: bottom - height * (v - low) / (high - low)
    text = lambda a, b, words, anchor: f'<text x="{a:.1f}" y="{b:.1f}" text-anchor="{anchor}">{words}</text>'
    name = lambda power: f'10<tspan dy="-4" font-size="8">{power}</tspan>'
    parts = [f'<rect x="{left}" y="{bottom - height}" width="{width}" height="{height}" fill="none" stroke="#888"/>']
    for power in range(first, last + 1):
        parts.append(f'<line x1="{x(power):.1f}" x2="{x(power):.1f}" y1="{bottom - height}" y2="{bottom}" stroke="#ddd"/>')
        parts.append(text(x(power), bottom + 16, name(power), "middle"))
    for power in range(low, high + 1):
        parts.append(f'<line x1="{left}" x2="{left + width}" y1="{y(power):.1f}" y2="{y(power):.1f}" stroke="#ddd"/>')
        parts.append(text(left - 6, y(power) + 4, name(power), "end"))
    start = max(first, xs[-1] - (ys[-1] - low) / slope) if slope else first
    line = (x(start), y(ys[-1] + slope * (start - xs[-1])), x(xs[-1]), y(ys[-1]))
    parts.append('<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#E69F00" stroke-dasharray="5 4"/>' % line)
    parts += [f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="4" fill="#0072B2"/>' for a, b in zip(xs, ys)]
    parts.append(text(left + width / 2, bottom - height - 10, f"{title}, {unit}", "middle"))
    parts.append(text(left + width / 2, bottom + 36, "voxels", "middle"))
    return "\n".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sizes", default=SIZES)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--memory", default="1GB")
    args = parser.parse_args()
    args.out.mkdir()
    model = args.out / "model"
    run("phantom", "--shape", "4,400,440", "-o", args.out / "small")
    run(
        "train", args.out / "small/images.zarr", args.out / "small/mitochondria.zarr", "-o", model, "--frames", 1,
        "--width", 0.25, "--binning", 1, "--batch", 1, "--patch", 64, "--iterations", 1, "--foreground", 255,
    )
    times, memory = [], []
    print("| volume | s | Mvoxel/s | peak memory |\n|---|---|---|---|")
    for size in args.sizes.split(":"):
        folder = args.out / size.replace(",", "x")
        run("phantom", "--shape", size, "-o", folder)
        words = ["--variations", 1, "--memory", args.memory, "--json"]
        done = json.loads(run("predict", model, folder / "images.zarr", "-o", folder / "p.zarr", *words))
        voxels, peak = done["voxels"], done["peak_memory_bytes"]
        times.append((voxels, done["seconds"]))
        memory.append((voxels, peak / 1e6))
        print(f"| {' × '.join(size.split(','))} | {done['seconds']:.1f} | {voxels / done['seconds'] / 1e6:.2f} | {peak / 1e6:.0f} MB |", flush=True)
    if args.plot:
        body = panel(60, "time", "s", times, 1) + "\n" + panel(440, "peak memory", "MB", memory, 0)
        args.plot.write_text(
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 770 310" font-family="sans-serif" font-size="12" role="img">\n'
            "<title>Time and peak memory of a prediction against the volume's size; dashed: as the voxels, and constant</title>\n"
            f'<rect width="770" height="310" fill="white"/>\n{body}\n</svg>\n'
        )


main()
