#!/usr/bin/env bash
# `deep3m submit slurm` on a real SLURM: slurmctld and slurmd, started here on loopback.
#
#   .ci/slurm/run.sh DEEP3M [PROGRAM]
#
# DEEP3M submits; PROGRAM is what the workers run and what they are compared with, DEEP3M if nothing is said. Installs Debian's slurm-wlm where root may.
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
# shellcheck source=.ci/slurm/cluster.sh
. .ci/slurm/cluster.sh
trap cluster_stop EXIT
cluster_start "$scratch/cluster" || not_run "slurmctld and slurmd did not start (see above)"

step() { printf -- '-- %s\n' "$1"; }

# A name that nothing is made easy by.
mkdir "$scratch/it's 100% \$HOME"
cd "$scratch/it's 100% \$HOME"
"$program" phantom -o p --shape 12,160,192 --seed 3 > /dev/null
"$program" train p/images.zarr p/mitochondria.zarr -o model --frames 1 --width 0.03 --iterations 3 --batch 1 --patch 64 \
    --seed 5 --binning 1 --device cpu > /dev/null
options=(--variations 8 --tile 32 --device cpu)
# What is written holds the names of model and output: those are the same everywhere.
"$program" predict "$PWD/model" p/images.zarr -o plain/out.zarr "${options[@]}" > /dev/null

# A prediction in a folder and of a name of its own.
submit() {
    local name=$1
    shift
    timeout 240 "$deep3m" submit slurm model p/images.zarr -o "$name/out.zarr" "${options[@]}" --workers 2 --worker-cpus 1 \
        --poll 0.3 --program "$program" --time 10 --name "$name" "$@"
}

# Nothing but notes of who did what when may differ.
same() {
    diff -r --exclude='deep3m-*' plain/out.zarr "$1/out.zarr" || { echo "$1: differs from a plain prediction" >&2; exit 1; }
}

# The process of a worker of a job array that is the program and not its script, once it runs.
worker_process() {
    local job number
    for _ in $(seq 300); do
        # listpids takes the number that a worker has for itself.
        job=$(squeue --noheader --array --jobs="$1" --format=%A 2> /dev/null || true)
        for number in $([ -z "$job" ] || scontrol listpids "$job" 2> /dev/null | awk 'NR > 1 && $1 > 0 { print $1 }'); do
            if tr '\0' ' ' 2> /dev/null < "/proc/$number/cmdline" | grep -q "predict --worker="; then
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
submit two 2> two.out | grep -F "two/out.zarr: complete"
same two

step "the script of a dry run does the same"
submit dry --dry-run | sh > /dev/null
for _ in $(seq 600); do [ -s dry/out.zarr.submit/last-step.status ] && break; sleep 0.1; done
[ "$(cat dry/out.zarr.submit/last-step.status)" = 0 ]
same dry

step "a worker is killed, and starts again by itself"
submit killed > killed.out 2>&1 &
waiting=$!
array=$(array_of killed)
kill -9 "$(worker_process "${array}_1")"
wait "$waiting" || { cat killed.out; exit 1; }
same killed
grep -q "JOB REQUEUE" killed/out.zarr.submit/worker-1.log

step "SLURM takes a worker off its node, and puts it back"
submit requeued > requeued.out 2>&1 &
waiting=$!
array=$(array_of requeued)
worker_process "${array}_1" > /dev/null
scontrol requeue "${array}_1"
wait "$waiting" || { cat requeued.out; exit 1; }
same requeued

step "a worker is cancelled; the last step does what it left"
submit cancelled > cancelled.out 2>&1 &
waiting=$!
array=$(array_of cancelled)
worker_process "${array}_1" > /dev/null
scancel "${array}_1"
wait "$waiting" || { cat cancelled.out; exit 1; }
same cancelled
grep -q "1 of 2 workers failed" cancelled.out

step "what cannot be done ends in an error that says why"
rm -r "model/1fm.safetensors"
if submit failed --retries 0 > failed.out 2>&1; then
    echo "a prediction without weights was called complete" >&2
    exit 1
fi
grep -q "failed/out.zarr: not complete" failed.out
grep -q "1fm.safetensors" failed.out

step "all of it passed"
