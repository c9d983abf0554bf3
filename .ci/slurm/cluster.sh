#!/usr/bin/env bash
# A SLURM of one node on this machine, for tests: munged, slurmctld and slurmd on loopback, with files, keys and ports of
# its own. Needs root.
#
#   . cluster.sh; cluster_start FOLDER; …; cluster_stop
#
# cluster_start sets SLURM_CONF, by which sbatch and squeue find this cluster and no other.

# A port that nothing listens on.
cluster_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

cluster_start() {
    cluster=$(realpath "$1")
    mkdir -p "$cluster"/{state,spool,log}
    # munged wants its socket in a folder that all may enter and its key in one that only it may read; the path of a socket
    # holds 107 bytes.
    cluster_socket=$(mktemp -d /tmp/munge.XXXXXX)
    chmod 755 "$cluster_socket"
    (umask 077 && head -c 128 /dev/urandom > "$cluster_socket/key")
    munged --force --socket="$cluster_socket/socket" --key-file="$cluster_socket/key" \
        --pid-file="$cluster/munged.pid" --log-file="$cluster/log/munged.log" --seed-file="$cluster/munged.seed" --num-threads=2

    local memory
    memory=$(awk '/^MemTotal/ { print int($2 / 2048) }' /proc/meminfo)
    cat > "$cluster/slurm.conf" <<CONF
ClusterName=deep3m-test
SlurmctldHost=localhost
SlurmctldPort=$(cluster_port)
SlurmdPort=$(cluster_port)
SlurmUser=root
AuthType=auth/munge
# A requeued job may start again when its first credential has run out: two minutes, if nothing else is said.
AuthInfo=socket=$cluster_socket/socket,cred_expire=5
StateSaveLocation=$cluster/state
SlurmdSpoolDir=$cluster/spool
SlurmctldPidFile=$cluster/slurmctld.pid
SlurmdPidFile=$cluster/slurmd.pid
SlurmctldLogFile=$cluster/log/slurmctld.log
SlurmdLogFile=$cluster/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
KillWait=2
# The node need not have the two processors that it says it has.
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,batch_sched_delay=0,sched_min_interval=0
NodeName=node0 NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 CPUs=2 RealMemory=$memory State=UNKNOWN
PartitionName=short Nodes=node0 Default=YES MaxTime=60 State=UP
CONF
    export SLURM_CONF=$cluster/slurm.conf
    slurmctld -c
    slurmd -c -N node0
    for _ in $(seq 60); do
        [ "$(sinfo --noheader --format=%t 2>/dev/null)" = idle ] && return 0
        sleep 0.5
    done
    echo "SLURM did not start within 30 s:" >&2
    tail -n 20 "$cluster"/log/*.log >&2
    return 1
}

# Ends what cluster_start started, by the numbers that it wrote down.
cluster_stop() {
    local name number
    # Steps outlive slurmd.
    squeue --noheader --format=%A 2> /dev/null | xargs --no-run-if-empty scancel 2> /dev/null || true
    for _ in $(seq 100); do [ -z "$(squeue --noheader 2> /dev/null)" ] && break; sleep 0.1; done
    for name in slurmd slurmctld munged; do
        number=$(cat "$cluster/$name.pid" 2>/dev/null) || continue
        kill "$number" 2>/dev/null || true
        for _ in $(seq 50); do kill -0 "$number" 2>/dev/null || break; sleep 0.1; done
        kill -9 "$number" 2>/dev/null || true
    done
    rm -rf "$cluster_socket"
}
