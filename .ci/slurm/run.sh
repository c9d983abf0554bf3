#!/usr/bin/env bash
# `deep3m submit slurm` on a real SLURM: slurmctld and slurmd, started here on loopback.
#
#   .ci/slurm/run.sh DEEP3M [PROGRAM]
#
# DEEP3M submits; PROGRAM is what the workers run, DEEP3M if nothing is said. Installs Debian's slurm-wlm where root may.
set -euo pipefail
cd "$(dirname "$0")/../.."
deep3m=$(realpath "$1")
program=$(realpath "${2:-$1}")

not_run() {
    printf '\n!! NOT RUN: deep3m submit slurm on a real SLURM: %s\n\n' "$1" >&2
    exit 0
}

if ! command -v slurmctld slurmd munged sbatch > /dev/null; then
    [ "$(id -u)" = 0 ] || not_run "slurm-wlm and munge are not installed, and only root can install them"
    command -v apt-get > /dev/null || not_run "slurm-wlm and munge are not installed, and there is no apt-get"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends slurm-wlm munge > /dev/null ||
        not_run "slurm-wlm and munge could not be installed"
fi
[ "$(id -u)" = 0 ] || not_run "slurmctld and slurmd are started by root"

scratch=target/slurm
rm -rf "$scratch"
mkdir -p "$scratch"
. .ci/slurm/cluster.sh
trap cluster_stop EXIT
cluster_start "$scratch/cluster" || not_run "slurmctld and slurmd did not start (see above)"

step() { printf -- '-- %s\n' "$1"; }

# A name that nothing is made easy by.
mkdir "$scratch/it's 100% \$HOME"
cd "$scratch/it's 100% \$HOME"
"$deep3m" phantom -o p --shape 12,160,192 --seed 3 > /dev/null
"$deep3m" train p/images.zarr p/mitochondria.zarr -o model --frames 1 --width 0.03 --iterations 3 --batch 1 --patch 64 \
    --seed 5 --binning 1 --device cpu > /dev/null
options=(--variations 8 --tile 32 --device cpu)
"$deep3m" predict model p/images.zarr -o plain.zarr "${options[@]}" > /dev/null

submit() {
    local out=$1
    shift
    timeout 240 "$deep3m" submit slurm model p/images.zarr -o "$out" "${options[@]}" --workers 2 --worker-cpus 1 --poll 0.3 \
        --program "$program" --time 10 "$@"
}

# Nothing but notes of who did what when may differ.
same() {
    diff -r --exclude='deep3m-*' plain.zarr "$1" || { echo "$1: differs from a plain prediction" >&2; exit 1; }
}

# The first process of a worker of a job array that is the program, once it runs.
worker_process() {
    local number
    for _ in $(seq 300); do
        for number in $(scontrol listpids "$1" 2> /dev/null | awk 'NR > 1 && $1 > 0 { print $1 }'); do
            if tr '\0' ' ' < "/proc/$number/cmdline" 2> /dev/null | grep -q -- " predict --worker=" &&
                [ "$(cat "/proc/$number/comm")" != workers.sh ] && [ "$(cat "/proc/$number/comm")" != slurm_script ]; then
                echo "$number"
                return
            fi
        done
        sleep 0.1
    done
    echo "no process of worker $1 was seen" >&2
    exit 1
}

# The number of the array whose scripts are in OUT.submit.
array_of() {
    local number
    for _ in $(seq 300); do
        number=$(squeue --noheader --format='%F|%j' --states=all | awk -F'|' -v name="$1" '$2 == name { print $1 }' | sort -n | tail -n 1)
        [ -n "$number" ] && { echo "$number"; return; }
        sleep 0.1
    done
    echo "no array $1 was seen" >&2
    exit 1
}

step "two workers give what one gives"
submit two.zarr | grep -F "two.zarr: complete"
same two.zarr
test -s two.zarr.submit/worker-1.log -o -e two.zarr.submit/worker-1.log

step "the script of a dry run does the same"
submit dry.zarr --dry-run | sh > /dev/null
for _ in $(seq 600); do [ -s dry.zarr.submit/last-step.status ] && break; sleep 0.1; done
[ "$(cat dry.zarr.submit/last-step.status)" = 0 ]
same dry.zarr

step "a worker is killed, and starts again by itself"
submit killed.zarr > killed.out 2>&1 &
waiting=$!
array=$(array_of deep3m-killed)
kill -9 "$(worker_process "${array}_1")"
wait "$waiting" || { cat killed.out; exit 1; }
same killed.zarr
grep -q "JOB REQUEUE" killed.zarr.submit/worker-1.log

step "SLURM takes a worker off its node, and puts it back"
submit requeued.zarr > requeued.out 2>&1 &
waiting=$!
array=$(array_of deep3m-requeued)
worker_process "${array}_1" > /dev/null
scontrol requeue "${array}_1"
wait "$waiting" || { cat requeued.out; exit 1; }
same requeued.zarr

step "a worker is cancelled; the last step does what it left"
submit cancelled.zarr > cancelled.out 2>&1 &
waiting=$!
array=$(array_of deep3m-cancelled)
worker_process "${array}_1" > /dev/null
scancel "${array}_1"
wait "$waiting" || { cat cancelled.out; exit 1; }
same cancelled.zarr
grep -q "1 of 2 workers failed" cancelled.out

step "what cannot be done ends in an error that says why"
rm -r "model/1fm.safetensors"
if submit failed.zarr --retries 0 > failed.out 2>&1; then
    echo "a prediction without weights was called complete" >&2
    exit 1
fi
grep -q "failed.zarr: not complete" failed.out
grep -q "1fm.safetensors" failed.out

step "all of it passed"
