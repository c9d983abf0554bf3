#!/usr/bin/env python3
"""What fewer passes cost: a prediction with 16, 8, 4, 2, 1 variations and with `auto`, each scored against labels.

    scripts/passes.py OUT IMAGES LABELS MODEL [MODEL …] [--tolerances 0.02,0.03] [--exclusion 0] [--frames 1,3,5]

OUT is a folder for the predictions, kept: what is there is not predicted again. Prints for each model and setting the passes
of all sections, how many times fewer than with 16 variations, the Jaccard index and its difference from that of 16.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

DEEP3M = Path(__file__).resolve().parents[1] / "target/release/deep3m"


def say(*words):
    done = subprocess.run([DEEP3M, *map(str, words)], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))}: {done.stderr}")
    return json.loads(done.stdout)


def measure(args, model, name, words):
    out = args.out / f"{Path(model).name}-{name}.zarr"
    note = out.with_suffix(".json")
    if not note.exists():
        frames = ["--frames", args.frames] if args.frames else []
        done = say("predict", model, args.images, "-o", out, "--json", "--overwrite", *frames, *words)
        score = say("evaluate", out, args.labels, "--exclusion", args.exclusion, "--json")["voxel"][0]
        note.write_text(json.dumps({"passes": done["passes"], "seconds": done["seconds"], "jaccard": score["jaccard"]}))
    return json.loads(note.read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("images")
    parser.add_argument("labels")
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--tolerances", default="0.02,0.03,0.04")
    parser.add_argument("--exclusion", default="0")
    parser.add_argument("--frames", help="only these networks")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    settings = {str(n): ["--variations", n] for n in (16, 8, 4, 2, 1)}
    for tolerance in args.tolerances.split(","):
        settings[f"auto {tolerance}"] = ["--variations", "auto", "--tolerance", tolerance]
    table = {name: [] for name in settings}
    for model in args.models:
        for name, words in settings.items():
            found = measure(args, model, name.replace(" ", "-"), words)
            table[name].append(found)
            full = table["16"][-1]
            times = full["passes"] / max(found["passes"], 1)
            print(
                f"| {Path(model).name} | {name} | {found['passes']} | {times:.2f} | {found['jaccard']:.4f} | "
                f"{found['jaccard'] - full['jaccard']:+.4f} |",
                flush=True,
            )
    print("\n| setting | times fewer passes | mean difference of Jaccard | smallest, largest |")
    for name, found in table.items():
        differences = [run["jaccard"] - full["jaccard"] for run, full in zip(found, table["16"])]
        times = sum(full["passes"] for full in table["16"]) / max(sum(run["passes"] for run in found), 1)
        print(f"| {name} | {times:.2f} | {sum(differences) / len(differences):+.4f} | {min(differences):+.4f}, {max(differences):+.4f} |")


main()
