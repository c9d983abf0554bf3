#!/usr/bin/env python3
"""`deep3m convert` of a TIFF stack to OME-Zarr with a pyramid against tifffile with zarr-python doing the same.

    python3 -m venv VENV && VENV/bin/pip install -r .ci/interop/requirements.txt
    cargo build --release --workspace --bins
    VENV/bin/python scripts/convert_bench.py target/release/deep3m OUT [--shape 256,2048,2048] [--rounds 5]

Both write the same levels, chunks and compression (zstd 1 with a checksum), which is checked first. They then take turns, each
as a process of its own. Prints wall time and peak memory (the system's count) of each, middle and range, and their ratios.
deep3m flushes what it writes to the disk before it ends; zarr-python does not. OUT must not exist; the stack takes z * y * x
bytes there, each result less.
"""
import argparse
import json
import os
import shutil
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import tifffile
import zarr


def write_stack(path, shape):
    """Cells as an electron microscope sees them, roughly: soft blobs, edges and noise."""
    depth, rows, columns = shape
    random = np.random.default_rng(1)
    y, x = np.mgrid[0:rows, 0:columns].astype("f4")

    def section(z):
        waves = np.sin(x / 37 + z / 9) * np.cos(y / 29) + 0.5 * np.sin((x + y) / 11 - z / 5)
        grey = 140 + 45 * np.tanh(3 * waves) + random.normal(0, 9, (rows, columns))
        return grey.clip(0, 255).astype("u1")

    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for z in range(depth):
            writer.write(section(z), contiguous=True, photometric="minisblack")


def peer(stack, out, plan):
    """What someone would write with the two packages: slabs of a chunk's depth, each level from the one before it."""
    codec = zarr.codecs.ZstdCodec(level=1, checksum=True)
    group = zarr.create_group(out, zarr_format=3)
    source = None
    with tifffile.TiffFile(stack) as tiff:
        for number, level in enumerate(plan):
            shape, chunk = level["shape"], level["chunk"]
            array = group.create_array(str(number), shape=shape, chunks=chunk, dtype="u1", compressors=[codec])
            if source is None:
                for z in range(0, shape[0], chunk[0]):
                    array[z : z + chunk[0]] = tiff.asarray(key=range(z, min(z + chunk[0], shape[0])))
            else:
                factors = [-(-a // b) for a, b in zip(source.shape, shape)]
                for z in range(0, shape[0], chunk[0]):
                    end = min(z + chunk[0], shape[0])
                    array[z:end] = mean(source[z * factors[0] : end * factors[0]], factors)
            source = array


def mean(block, factors):
    """The mean of each box, halves rounded to the even number; smaller boxes at the far ends."""
    total = block.astype("u2")
    if all(size % factor == 0 and factor <= 2 for size, factor in zip(block.shape, factors)):
        for axis, factor in enumerate(factors):
            if factor == 2:
                total = np.moveaxis(total, axis, 0)
                total = np.moveaxis(total[0::2] + total[1::2], 0, axis)
        bits = sum(factor == 2 for factor in factors)
        return ((total + (1 << bits >> 1) - 1 + ((total >> bits) & 1)) >> bits).astype("u1")
    count = np.ones((1, 1, 1), "u2")
    for axis, factor in enumerate(factors):
        size = block.shape[axis]
        starts = range(0, size, factor)
        total = np.add.reduceat(total, starts, axis=axis)
        shape = [1, 1, 1]
        shape[axis] = -1
        count = count * np.array([min(factor, size - start) for start in starts], "u2").reshape(shape)
    down, rest = np.divmod(total, count)
    up = (2 * rest > count) | ((2 * rest == count) & (down % 2 == 1))
    return (down + up).astype("u1")


def timed(command):
    """Seconds and peak bytes of a process."""
    begun = time.perf_counter()
    process = os.posix_spawn(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)])
    _, status, usage = os.wait4(process, 0)
    if status != 0:
        sys.exit(f"{' '.join(command)}: failed")
    return time.perf_counter() - begun, usage.ru_maxrss * 1024


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("deep3m", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--shape", default="256,2048,2048")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    args = parser.parse_args()
    stack, ours, theirs = args.out / "stack.tif", args.out / "ours.zarr", args.out / "theirs.zarr"
    if args.peer:
        peer(stack, theirs, json.loads(args.peer))
        return
    shape = [int(part) for part in args.shape.split(",")]
    args.out.mkdir()
    write_stack(stack, shape)
    convert = [str(args.deep3m.resolve()), "convert", str(stack), "-o", str(ours), "--voxel-size", "30,8,8"]
    timed(convert)
    names = sorted((folder.name for folder in ours.iterdir() if folder.is_dir()), key=int)
    levels = [zarr.open_array(ours / name, mode="r") for name in names]
    plan = json.dumps([{"shape": level.shape, "chunk": level.chunks} for level in levels])
    script = [sys.executable, __file__, str(args.deep3m), str(args.out), "--peer", plan]
    timed(script)
    for number, level in enumerate(levels):
        other = zarr.open_array(theirs / str(number), mode="r")
        for z in range(0, level.shape[0], level.chunks[0]):
            slab = slice(z, z + level.chunks[0])
            assert np.array_equal(level[slab], other[slab]), f"level {number}, section {z}: the results differ"
    results = {"deep3m": [], "tifffile + zarr-python": []}
    for _ in range(args.rounds):
        for name, command, result in zip(results, (convert, script), (ours, theirs)):
            shutil.rmtree(result)
            os.sync()
            results[name].append(timed(command))
    print(f"{' x '.join(map(str, shape))} voxels of 8 bits, {len(levels)} levels, {args.rounds} rounds; "
          f"tifffile {tifffile.__version__}, zarr {zarr.__version__}")
    middles = []
    for name, runs in results.items():
        seconds, peaks = zip(*runs)
        middles.append((statistics.median(seconds), statistics.median(peaks)))
        print(f"{name}: {middles[-1][0]:.2f} s ({min(seconds):.2f} to {max(seconds):.2f}), "
              f"peak {middles[-1][1] / 1e6:.0f} MB ({min(peaks) / 1e6:.0f} to {max(peaks) / 1e6:.0f})")
    (ours_s, ours_bytes), (peer_s, peer_bytes) = middles
    print(f"deep3m is {peer_s / ours_s:.2f} times as fast, with {ours_bytes / peer_bytes:.2f} times the memory")


if __name__ == "__main__":
    main()
