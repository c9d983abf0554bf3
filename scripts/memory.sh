#!/bin/sh
# Peak memory of a prediction with a narrow model on a small and on a large volume: less than a tenth apart.
#
#   scripts/memory.sh OUT [SMALL LARGE]        sizes as z,y,x; by default 64,1024,1024 and 512,2048,2048
#
# OUT must not exist; the large volume takes 2.2 GB there, its prediction up to as much. deep3m says the peak as the system
# counts it (VmHWM on Linux).
set -eu
out=${1:?"usage: scripts/memory.sh OUT [SMALL LARGE]"}
small=${2:-64,1024,1024}
large=${3:-512,2048,2048}
mkdir "$out"
cargo build --release --bin deep3m --example volume_noise --workspace
deep3m=target/release/deep3m
noise=target/release/examples/volume_noise
$deep3m phantom --shape 4,400,440 -o "$out/phantom"
$deep3m train "$out/phantom/images.zarr" "$out/phantom/mitochondria.zarr" -o "$out/model" \
    --frames 1 --width 0.05 --binning 1 --batch 1 --patch 64 --iterations 1 --foreground 255
peak() {
    $noise "$1" "$out/$1.zarr"
    $deep3m predict "$out/model" "$out/$1.zarr" -o "$out/$1-probability.zarr" --variations 1 --json |
        sed -n 's/.*"peak_memory_bytes": \([0-9]*\).*/\1/p'
}
first=$(peak "$small")
second=$(peak "$large")
echo "$small: $first bytes at most"
echo "$large: $second bytes at most"
awk "BEGIN { printf \"%.1f %% apart\n\", 100 * ($second - $first) / $first }"
