#!/usr/bin/env bash
# Two workers on two cores against one worker on one core: the same prediction, in turns, each worker held to a core (Linux).
#
#   scripts/workers_bench.sh OUT [SHAPE] [ROUNDS]      shape as z,y,x; by default 16,1024,1024, three rounds
#
# OUT must not exist. Nothing else should run on the machine. The bytes of both are compared, too.
set -euo pipefail
out=${1:?"usage: scripts/workers_bench.sh OUT [SHAPE] [ROUNDS]"}
shape=${2:-16,1024,1024}
rounds=${3:-3}
mkdir "$out"
cargo build --release --workspace --bins --example volume_noise
made=$(realpath "${CARGO_TARGET_DIR:-target}")/release
deep3m=$made/deep3m
noise=$made/examples/volume_noise
cd "$out"
"$deep3m" phantom --shape 4,400,440 -o phantom
"$deep3m" train phantom/images.zarr phantom/mitochondria.zarr -o model \
    --frames 1 --width 0.25 --binning 1 --batch 1 --patch 64 --iterations 1 --foreground 255
"$noise" "$shape" volume.zarr
predict() { # cores, output, more
    cores=$1 result=$2
    shift 2
    taskset -c "$cores" "$deep3m" predict model volume.zarr -o "$result" --variations 1 --tile 256 "$@" >/dev/null
}
now() { date +%s.%N; }
for round in $(seq "$rounds"); do
    rm -rf one.zarr two.zarr
    begun=$(now)
    predict 0 one.zarr
    one=$(now)
    predict 0 two.zarr --worker 0/2 --wait &
    predict 1 two.zarr --worker 1/2 --wait
    wait
    two=$(now)
    diff -r one.zarr/0 two.zarr/0
    awk "BEGIN { a = $one - $begun; b = $two - $one; printf \"round $round: one worker %.1f s, two %.1f s: %.2f times as fast\n\", a, b, a / b }"
done
