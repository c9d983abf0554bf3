"""The network's forward pass and training step beside PyTorch, onnxruntime and OpenVINO: the driver for `run`."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLES = REPOSITORY / "target/release/examples"
PEERS = {
    "forward": {
        "onnxruntime": ["--peer", "onnxruntime"],
        "PyTorch": ["--peer", "torch"],
        "OpenVINO": ["--peer", "openvino"],
    },
    "training": {"PyTorch, channels_last": ["--peer", "torch"], "PyTorch, contiguous": ["--peer", "torch", "--layout", "contiguous"]},
}
# How far answers may lie apart: probabilities; a loss.
AGREE = {"forward": 1e-4, "training": 1e-3}


def say(words, **more):
    return json.loads(subprocess.run(list(map(str, words)), check=True, stdout=subprocess.PIPE, text=True, **more).stdout)


def deep3m(*words, threads):
    """What our example prints, with the memory that it took."""
    # The most of all children of a process: so each has a process of its own between.
    between = f"import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    environment = {**os.environ, "RAYON_NUM_THREADS": str(threads)}
    words = [sys.executable, "-c", between, EXAMPLES / "network_peer", *words]
    text = subprocess.run(list(map(str, words)), check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    found, memory = text.splitlines()
    return {**json.loads(found), "peak_bytes": 1024 * int(memory)}


def make_model(folder, width):
    """A model of random weights for every number of frames, as ours, as ONNX and as safetensors."""
    model = folder / f"model-{width}"
    if not model.exists():
        subprocess.run([EXAMPLES / "reference", "model", model, str(width), "1", "raw"], check=True)
        for form in ("onnx", "safetensors"):
            words = [REPOSITORY / "target/release/deep3m", "export", model, "--format", form, "-o", folder / f"{form}-{width}"]
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return model


def exported(folder, form, width, frames):
    return next((folder / f"{form}-{width}").glob(f"*{frames}fm*.{form}"))


def cases(kind, args):
    if kind == "training":
        return [(1, 320, width, 5) for width in args.widths]
    return [(frames, size, width, 1) for width in args.widths for frames in args.frames for size in args.sizes]


def rows(kind, folder, args):
    """A row for each peer, frames, size, width and number of threads."""
    for threads in map(int, args.threads.split(",")):
        peak = deep3m("peak", threads=threads)["gflops"]
        print(f"{kind}, {threads} threads: matrix products {peak:.0f} GFLOP/s", flush=True)
        for frames, size, width, batch in cases(kind, args):
            model = make_model(folder, width)
            random = np.random.default_rng(1)
            waves = 128 + 60 * np.sin(np.arange(size)[:, None] / 9) + 50 * np.sin(np.arange(size) / 7)
            grey = np.clip(waves + random.normal(0, 20, (batch, frames, size, size)), 0, 255).astype(np.float32)
            target = (waves + random.normal(0, 20, (batch, size, size)) > 128).astype(np.float32)
            np.save(folder / "grey.npy", grey)
            np.save(folder / "target.npy", target)
            one = {
                "forward": ["forward", model, frames, folder / "grey.npy", 1, folder / "ours.npy"],
                "training": ["training", model, frames, folder / "grey.npy", folder / "target.npy", 1],
            }[kind]
            network = [
                kind, exported(folder, "onnx", width, frames), folder / "grey.npy", "--threads", threads, "--rounds", 1,
                "--out", folder / "peer.npy",
            ]
            if kind == "training":
                network += ["--target", folder / "target.npy", "--weights", exported(folder, "safetensors", width, frames)]
            runs = {"ours": [], **{peer: [] for peer in PEERS[kind]}}
            for _ in range(args.rounds):
                runs["ours"].append(deep3m(*one, threads=threads))
                answer = np.float32(runs["ours"][-1]["loss"]) if kind == "training" else np.load(folder / "ours.npy")
                for peer, words in PEERS[kind].items():
                    runs[peer].append(say([sys.executable, Path(__file__).parent / "network.py", *network, *words]))
                    other = np.load(folder / "peer.npy")
                    apart = float(np.abs(other.reshape(answer.shape) - answer).max())
                    if not apart <= AGREE[kind]:
                        sys.exit(f"{kind}: {peer} answers otherwise, {apart:.2g} apart")
                    runs[peer][-1]["apart"] = apart
            best = {side: min(min(run["seconds"]) for run in all) for side, all in runs.items()}
            memory = {side: max(run["peak_bytes"] for run in all) for side, all in runs.items()}
            for peer in PEERS[kind]:
                row = {
                    "peer": peer, "frames": frames, "size": size, "width": width, "batch": batch, "threads": threads,
                    "ours_s": best["ours"], "peer_s": best[peer], "ratio": best[peer] / best["ours"],
                    "ours_bytes": memory["ours"], "peer_bytes": memory[peer], "gemm_gflops": peak,
                    "apart": max(run["apart"] for run in runs[peer]),
                }
                print(
                    f"{kind} {frames}fm {batch} x {size}² width {width:<5} {threads} threads: ours {best['ours']:7.3f} s "
                    f"{memory['ours'] / 1e9:5.2f} GB, {peer:<22} {best[peer]:7.3f} s {memory[peer] / 1e9:5.2f} GB, "
                    f"ratio {row['ratio']:5.2f}, apart {row['apart']:.1g}",
                    flush=True,
                )
                yield row
