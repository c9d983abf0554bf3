#!/usr/bin/env bash
# Trains on real labelled sections and measures on others that were never trained on: the figures of docs/results.md.
#
#   scripts/results.sh DATA OUT [MINUTES] [SEEDS]
#
# DATA is a folder with train/images, train/labels, validation/images, validation/labels (CDeep3M's example data).
# Nothing else should run on the machine meanwhile: training follows the clock.
set -euo pipefail

data=${1:?folder with train/ and validation/}
out=${2:?folder for models and predictions}
minutes=${3:-10 30}
seeds=${4:-1 2 3}

cargo build --release
deep3m=${CARGO_TARGET_DIR:-target}/release/deep3m
mkdir -p "$out"

for m in $minutes; do
  for seed in $seeds; do
    model=$out/model-$m-min-seed-$seed
    echo "## $m minutes, seed $seed"
    "$deep3m" train "$data/train/images" "$data/train/labels" -o "$model" --minutes "$m" --seed "$seed"
    for frames in 1 1,3,5; do
      for variations in 1 16; do
        prediction=$out/prediction-$m-min-seed-$seed-frames-${frames//,/}-variations-$variations.zarr
        echo "frames $frames, $variations variations"
        "$deep3m" predict "$model" "$data/validation/images" -o "$prediction" --frames "$frames" --variations "$variations"
        "$deep3m" evaluate "$prediction" "$data/validation/labels" --exclusion 0,1,2
      done
    done
  done
done | tee "$out/results.txt"
