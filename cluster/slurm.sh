#!/bin/bash
#SBATCH --job-name=randwire
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=4
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=slurm-%j.log
#
# A study on an allocation of SLURM: `sbatch cluster/slurm.sh [OPTION...]`, in the repository. docs/slurm.md tells more.
#
# It starts a Ray cluster on the machines of the job, the head on the first of them, runs
# `studies/generators.py sweep --address HEAD [OPTION...]` there, and ends the cluster with it. Two minutes before the
# time is over the sweep ends cleanly, and the job is put into the queue again; `scancel` ends it cleanly for good.
# What runs next goes on from the records.
# shellcheck disable=SC2317 # functions that `srun` and signals call
set -euo pipefail

study=${RANDWIRE_STUDY:-studies/generators.py}
export RANDWIRE_PYTHON=${RANDWIRE_PYTHON:-$PWD/.venv/bin/python}

fail() {
    echo "error: $1" >&2
    exit 2
}

# The part of the cluster on one machine: what `srun` starts on each.
machine() {
    umask 077
    unset "${!WANDB_@}" # only the sweep speaks to W&B
    if test -L "$RANDWIRE_TEMP" || ! mkdir -p "$RANDWIRE_TEMP" || ! test -O "$RANDWIRE_TEMP" || ! chmod 700 "$RANDWIRE_TEMP"; then
        echo "error: $RANDWIRE_TEMP cannot be made, or is another user's, on $(hostname)" >&2
        exit 1
    fi
    ulimit -n "$(ulimit -Hn)"
    # Ray by itself would take CPUs and memory of the whole machine.
    share=$("$RANDWIRE_PYTHON" -m randwire.sweep.share) || exit
    read -ra options <<<"$share"
    if test "${SLURM_NODEID:-0}" = 0; then
        options+=(--head "--node-ip-address=${RANDWIRE_HEAD%:*}" "--port=${RANDWIRE_HEAD##*:}")
        options+=("--temp-dir=$RANDWIRE_TEMP/ray" --dashboard-host=127.0.0.1 "--dashboard-port=$RANDWIRE_DASHBOARD")
    else
        options+=("--address=$RANDWIRE_HEAD")
        until (: >"/dev/tcp/${RANDWIRE_HEAD%:*}/${RANDWIRE_HEAD##*:}") 2>/dev/null; do
            test -e "$RAY_AUTH_TOKEN_PATH" || break
            sleep 1
        done
    fi
    log=$RANDWIRE_TEMP/start-${SLURM_NODEID:-0}.log
    over=''
    trap 'over=1' TERM INT
    for _ in 1 2 3; do # on busy machines Ray may give up before all of it answers
        # Workers take any free port: another job may have another part of the machine.
        "$RANDWIRE_PYTHON" -m ray.scripts.scripts start --block --disable-usage-stats --min-worker-port=0 \
            --max-worker-port=0 --log-style=record --log-color=false "${options[@]}" >"$log" 2>&1 &
        # The script takes the token away when all is over: a signal to `srun` would kill at once.
        while kill -0 $! 2>/dev/null; do
            test -e "$RAY_AUTH_TOKEN_PATH" || over=1
            test -z "$over" || kill -TERM $! 2>/dev/null || true
            sleep 1
        done
        test -z "$over" || break
    done
    if test -z "$over"; then
        cat "$log" >&2
        test "${SLURM_NODEID:-0}" != 0 || rm -f "$RAY_AUTH_TOKEN_PATH" # without its head, the cluster is over
    fi
    rm -rf "$RANDWIRE_TEMP"
}

# Run a command, and end it by SIGTERM when the job is to end, or when the cluster has ended.
guarded() {
    test -z "$ending" || return 130
    "$@" &
    work=$!
    test -z "$ending" || stop "$ending" # a signal came just now
    while kill -0 "$work" 2>/dev/null; do
        if kill -0 "$cluster" 2>/dev/null; then
            wait -n "$work" "$cluster" || true
        else
            test -n "$ending" || lost
            wait "$work" || true
        fi
    done
    test "$ending" != lost || return 1
    wait "$work"
}

lost() {
    echo "error: Ray has ended on the machines of the job, or could not start; what it says is above" >&2
    stop lost
}

# Called by signals too: whatever runs then is told to end.
stop() {
    ending=$1
    if test -n "$work"; then kill -TERM "$work" 2>/dev/null || true; fi
}

clean() {
    code=$?
    trap '' USR1 TERM INT
    test -z "$private" || rm -f "$private/token"
    if test -n "$cluster"; then
        for _ in {1..60}; do
            kill -0 "$cluster" 2>/dev/null || break
            sleep 0.5
        done
        kill -TERM "$cluster" 2>/dev/null || true
        wait "$cluster" || true
    fi
    test -z "$private" || rm -rf "$private"
    if test "$ending" = time && test "$code" = 130; then
        echo "the time of the job is over; it is put into the queue again, and goes on from the records" >&2
        scontrol requeue "$SLURM_JOB_ID"
    fi
}

test -n "${SLURM_JOB_ID:-}" || fail "this is a batch script of SLURM: sbatch cluster/slurm.sh"
test -f "$study" || fail "$study is not below $PWD: give the command in the repository"
test -x "$RANDWIRE_PYTHON" || fail "$RANDWIRE_PYTHON is not there: make the environment, or set RANDWIRE_PYTHON"

work='' cluster='' ending='' private=''
trap clean EXIT
trap 'stop time' USR1
trap 'stop cancelled' TERM INT

# Who has the token may run anything on the cluster. All machines read it, and no other user.
mkdir -p runs
rm -rf runs/.slurm-"$SLURM_JOB_ID".*
private=$(mktemp -d "$PWD/runs/.slurm-$SLURM_JOB_ID.XXXXXX")
(umask 077 && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$private/token")
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$private/token
export RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=0 # when it ends, nothing runs there any more
unset RAY_ADDRESS RAY_AUTH_TOKEN

# The address under which the other machines reach this one, the first: not the loopback that /etc/hosts may have.
read -r first _ <<<"$(scontrol show hostnames "$SLURM_JOB_NODELIST" | tr '\n' ' ')"
addresses=$(getent ahostsv4 "$first" || true; hostname -I 2>/dev/null || true)
read -r address _ <<<"${RANDWIRE_HEAD_IP:-$(awk '$1 !~ /^127\./ {print $1}' <<<"$addresses" | tr '\n' ' ')}"
test -n "$address" || fail "no address of $first is found that is not the loopback: set RANDWIRE_HEAD_IP"
read -r port dashboard <<<"$("$RANDWIRE_PYTHON" -c '
import socket
held = [socket.create_server(("", 0)) for _ in range(2)]
print(*(server.getsockname()[1] for server in held))')"
export RANDWIRE_HEAD=$address:$port RANDWIRE_DASHBOARD=$dashboard
export RANDWIRE_TEMP=/tmp/randwire-slurm-$SLURM_JOB_ID-${SLURM_RESTART_COUNT:-0}

export -f machine
each=(--ntasks-per-node=1 --export=ALL)
if test -n "${SLURM_CPUS_PER_TASK:-}"; then each+=("--cpus-per-task=$SLURM_CPUS_PER_TASK"); fi # since SLURM 22.05
srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" "${each[@]}" bash -c machine &
cluster=$!
for _ in 1 2 3; do # Ray may end a process that connects to a machine which is about to try again
    code=0
    guarded "$RANDWIRE_PYTHON" -m randwire.sweep.machines "$RANDWIRE_HEAD" "$SLURM_JOB_NUM_NODES" || code=$?
    case $code in 0 | 2 | 130) break ;; esac
    test -z "$ending" || break
done
test "$code" != 0 || guarded "$RANDWIRE_PYTHON" "$study" sweep --address "$RANDWIRE_HEAD" "$@" || code=$?
exit "$code"
