#!/usr/bin/env bash
# A thousand kills (SIGKILL) at random moments of predictions, of several workers on one prediction, of trainings, half as
# many of conversions, and a tenth of predictions in object storage: every one must end with the bytes of a run that nobody
# disturbed, and no finished block may be computed again.
#
#   scripts/kills.sh [KILLS]
set -euo pipefail
cd "$(dirname "$0")/.."
export DEEP3M_KILLS=${1:-1000}

cargo test --workspace --test kill -- --nocapture --test-threads 2
cargo test --workspace --test object_storage killed -- --nocapture
cargo test --workspace --lib -- --nocapture kill_tests
cargo test --workspace --test convert killed -- --nocapture
