#!/usr/bin/env bash
# A rented GPU pod over SSH, from nothing to a trained adapter. Everything that lasts goes on the
# pod's mounted volume: the checkout, the environment, the model cache and the runs. Nothing needs
# root. Run it again after a lost connection or a restarted pod: it goes on from what is there.
#
# usage, from a laptop (the command that the pod's page shows under "SSH over exposed TCP"):
#   bash scripts/runpod.sh root@HOST -p PORT [-i KEY] [-o OPTION] [options]
# usage, on the pod:
#   bash scripts/runpod.sh [options]
#
#   --volume DIR  the mounted volume (default: $QTUI_VOLUME, else /workspace, else the home folder)
#   --setup-only  make the environment, train nothing
#   --builtin     train the built-in model instead of a small one from the hub (needs no GPU)
#   --dry-run     copy the checkout, then only say what would be done
#
# The pod's own torch is used. A gated model needs HF_TOKEN in the pod's environment (set it on the
# pod's page, as a secret) or `hf auth login` on the pod; this script sends no token anywhere.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
host='' volume=${QTUI_VOLUME:-} job='' connection=() options=()

give_up() {
  printf 'runpod: %s\n  %s\n' "$2" "$3" >&2
  exit "$1"
}

[ "${1:-}" != ssh ] || shift # pasted with the word ssh in front
while [ $# -gt 0 ]; do
  case $1 in
    --volume | -p | -i | -o)
      [ $# -ge 2 ] || give_up 2 "$1 needs a value" "See bash scripts/runpod.sh --help."
      if [ "$1" = --volume ]; then volume=$2; else connection+=("$1" "$2"); fi
      shift
      ;;
    --setup-only | --builtin | --dry-run) options+=("$1") ;;
    --job) job=1 ;; # this script in the background, on the pod
    -h | --help) sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"; exit 0 ;;
    -*) give_up 2 "unknown option $1" "See bash scripts/runpod.sh --help." ;;
    *) [ -z "$host" ] || give_up 2 "two hosts: $host and $1" "Name one pod."; host=$1 ;;
  esac
  shift
done
if [ -z "$host" ] && [ ${#connection[@]} -gt 0 ]; then
  give_up 2 "a port or key, but no host" "bash scripts/runpod.sh root@HOST -p PORT"
fi
chosen() { case " ${options[*]-} " in *" $1 "*) ;; *) return 1 ;; esac }

# ---- on the laptop -------------------------------------------------------------------------------

# The tracked files as they are now, edits included; a downloaded archive as it was unpacked.
pack() {
  cd "$root"
  if git rev-parse --git-dir >/dev/null 2>&1; then
    git ls-files -z | while IFS= read -r -d '' file; do
      [ ! -e "$file" ] || printf '%s\0' "$file"
    done | tar --null -T - -czf -
  else
    tar -czf - --exclude ./.venv --exclude ./runs .
  fi
}

# Runs on the pod with the volume as $1; says which folder it took.
# shellcheck disable=SC2016  # expanded on the pod
unpack='set -e; v=$1; [ -n "$v" ] || for v in "${QTUI_VOLUME:-}" /workspace "$HOME"; do
[ -n "$v" ] && [ -d "$v" ] && [ -w "$v" ] && break; done;
mkdir -p "$v/qtui" && tar -xzf - -C "$v/qtui" && printf "volume=%s\n" "$v"'

from_laptop() {
  case $host in *ssh.runpod.io) give_up 2 "$host is the pod's proxy, which carries no files" \
    'Use the command under "SSH over exposed TCP" on the pod page: root@ADDRESS -p PORT.' ;; esac
  echo "copying this checkout to $host ..."
  local reply status=0
  # shellcheck disable=SC2029  # expanded here is what is meant, quoted for the other side
  reply=$(pack | ssh ${connection[@]+"${connection[@]}"} "$host" "sh -c '$unpack' sh $(printf %q "$volume")") ||
    give_up 1 "the checkout could not be copied to $host" \
      "Does 'ssh ${connection[*]-} $host' work by itself, and has the volume room?"
  volume=$(printf '%s\n' "$reply" | sed -n 's/^volume=//p' | tail -n 1)
  [ -n "$volume" ] || give_up 1 "$host did not say where it put the checkout" "It said: $reply"
  local terminal=-T
  if [ -t 0 ] && [ -t 1 ]; then terminal=-t; fi
  # shellcheck disable=SC2029
  ssh "$terminal" ${connection[@]+"${connection[@]}"} "$host" \
    "bash $(printf '%q ' "$volume/qtui/scripts/runpod.sh" --volume "$volume" ${options[@]+"${options[@]}"})" ||
    status=$?
  [ "$status" -ne 255 ] || give_up 1 "the connection to $host was lost; the pod goes on by itself" \
    "The same command again comes back to it."
  return "$status"
}

# ---- on the pod ----------------------------------------------------------------------------------

# What outlives the container goes on the volume; written down so that a later login has it too.
prepare_volume() {
  if [ -z "$volume" ]; then
    for volume in /workspace "$HOME"; do [ ! -d "$volume" ] || [ ! -w "$volume" ] || break; done
  fi
  mkdir -p "$volume/.qtui/tmp" 2>/dev/null || give_up 2 "$volume cannot be written to" \
    "Name the pod's mounted volume with --volume DIR."
  volume=$(cd "$volume" && pwd)
  if command -v mountpoint >/dev/null && ! mountpoint -q "$volume"; then
    echo "note: $volume is not a mounted volume; when the pod stops, what is in it is gone"
  fi
  state=$volume/.qtui
  {
    echo '# qtui on this volume: source this after logging in'
    printf 'export HF_HOME=%q\n' "${HF_HOME:-$volume/huggingface}"
    printf 'export PIP_CACHE_DIR=%q\n' "${PIP_CACHE_DIR:-$volume/.qtui/pip}"
    printf 'export QTUI_VENV=%q\n' "${QTUI_VENV:-$volume/.qtui/venv}"
    printf 'export QTUI_WORKSPACE=%q\n' "$volume"
    # shellcheck disable=SC2016  # expanded by whoever sources it
    echo 'case ":$PATH:" in *":$QTUI_VENV/bin:"*) ;; *) export PATH="$QTUI_VENV/bin:$PATH" ;; esac'
  } >"$volume/qtui-env.sh"
}

run_job() {
  # shellcheck source=/dev/null
  source "$volume/qtui-env.sh"
  export TMPDIR=$state/tmp # pip unpacks gigabytes; the container's own disk is small
  local status=0 arguments=()
  if chosen --dry-run; then arguments+=(--dry-run); fi
  if chosen --setup-only; then
    bash "$root/scripts/setup.sh" ${arguments[@]+"${arguments[@]}"} || status=$?
  else
    chosen --builtin || arguments+=(--gpu)
    bash "$root/scripts/quickstart.sh" ${arguments[@]+"${arguments[@]}"} || status=$?
  fi
  printf '\nThe environment, the models and the runs are on %s. After a new login:\n' "$volume"
  printf '  source %q\n' "$volume/qtui-env.sh"
  return "$status"
}

# In the background: the lock says that it lives, the file says how it ended.
background_job() {
  exec 8>"$state/job.lock"
  flock -n -E 75 8 || [ $? -ne 75 ] || exit 75
  rm -f "$state/job.status"
  echo $$ >"$state/job.pid"
  local status=0
  (run_job) 8>&- || status=$?
  echo "$status" >"$state/job.status"
}

follow_job() {
  local log=$state/job.log pid
  if (exec 8>"$state/job.lock"; flock -n 8); then
    rm -f "$state/job.status"
    : >"$log"
    local detach=nohup
    if command -v setsid >/dev/null; then detach=setsid; fi
    "$detach" bash "$root/scripts/runpod.sh" --job --volume "$volume" ${options[@]+"${options[@]}"} \
      >"$log" 2>&1 </dev/null &
    pid=$!
  else
    pid=$(cat "$state/job.pid")
    echo "it is running already; this is its output so far ($log)"
  fi
  # The job lives without us: when this connection is lost, only the following ends.
  tail -n +1 -f --pid="$pid" "$log"
  [ -f "$state/job.status" ] || give_up 1 "the job ended without a word" "Its output is in $log."
  return "$(cat "$state/job.status")"
}

on_pod() {
  if [ -r /etc/rp_environment ]; then
    # What was set on the pod's page (HF_TOKEN, ...) is in no SSH session unless its image says so.
    set +eu
    # shellcheck source=/dev/null
    source /etc/rp_environment
    set -eu
  fi
  prepare_volume
  if [ -n "$job" ]; then
    background_job
  elif [ -n "${TMUX:-}" ]; then
    run_job
  elif [ -t 0 ] && [ -t 1 ] && command -v tmux >/dev/null; then
    echo "in the tmux session qtui: ctrl+b d leaves it running, this command comes back to it"
    exec tmux new-session -A -s qtui "bash $(printf '%q ' "$root/scripts/runpod.sh" --volume "$volume" \
      ${options[@]+"${options[@]}"}); exec bash --rcfile $(printf %q "$volume/qtui-env.sh")"
  else
    follow_job
  fi
}

if [ -n "$host" ]; then from_laptop; else on_pod; fi
