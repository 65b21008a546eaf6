#!/usr/bin/env bash
# See qtui work: makes the environment, trains a model with QLoRA, shows what changed.
# Without options: the built-in tiny model on the built-in data, on the CPU, in about 3 minutes.
#
# usage: bash scripts/quickstart.sh [--gpu] [--dry-run] [--set KEY=VALUE ...]
#   --gpu      a small real model from the hub (Qwen2.5 0.5B, about 1 GB to download) on this GPU
#   --dry-run  only say what would be done
#   --set ...  settings of the run, as for qtui quickstart
#
#   QTUI_WORKSPACE  the folder whose runs/ receives the run (default: this clone)
#   QTUI_VENV, QTUI_PYTHON: see scripts/setup.sh
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${QTUI_VENV:-$root/.venv}
case $venv in /*) ;; *) venv=$PWD/$venv ;; esac
workspace=${QTUI_WORKSPACE:-$root}
gpu_model=Qwen/Qwen2.5-0.5B-Instruct # Apache-2.0, open without an account

gpu='' dry_run='' settings=()
while [ $# -gt 0 ]; do
  case $1 in
    --gpu) gpu=1 ;;
    --dry-run) dry_run=--dry-run ;;
    --set) [ $# -ge 2 ] || { echo "quickstart: --set needs KEY=VALUE" >&2; exit 2; }
      settings+=(--set "$2"); shift ;;
    --set=*) settings+=(--set "${1#--set=}") ;;
    -h | --help) sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) echo "quickstart: unknown option $1; see bash scripts/quickstart.sh --help" >&2; exit 2 ;;
  esac
  shift
done

if [ -n "$gpu" ]; then
  if ! command -v nvidia-smi >/dev/null || ! nvidia-smi -L >/dev/null 2>&1; then
    echo "quickstart: --gpu needs an NVIDIA GPU, and nvidia-smi finds none on this machine" >&2
    echo "  Run it without --gpu: the built-in model trains on the CPU." >&2
    exit 4
  fi
  settings=(
    --set "model.model_name=$gpu_model" --set training.device=cuda
    --set training.learning_rate=2e-4 --set training.max_steps=60 --set training.max_seq_length=512
    --set training.eval_steps=20 --set training.save_steps=60
    --set training.batch_size=8 --set training.gradient_accumulation_steps=2
    ${settings[@]+"${settings[@]}"}
  )
fi

echo "1 of 2: the environment (minutes the first time, nothing to do after that)"
# shellcheck disable=SC2086  # no option is no argument
bash "$root/scripts/setup.sh" $dry_run
if [ -n "$gpu" ] && [ -z "$dry_run" ] &&
  ! "$venv/bin/python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
  echo "quickstart: there is a GPU, but torch in $venv cannot use it: the driver may be too old" >&2
  echo "  $venv/bin/qtui doctor says more; without --gpu the built-in model trains on the CPU." >&2
  exit 4
fi

if [ -n "$gpu" ]; then
  echo "2 of 2: QLoRA of $gpu_model on the built-in data (a download, then minutes)"
else
  echo "2 of 2: QLoRA of the built-in model on the built-in data (2 CPU cores: about 3 minutes)"
fi
command=("$venv/bin/qtui" quickstart --workspace "$workspace" ${settings[@]+"${settings[@]}"})
if [ -n "$dry_run" ]; then
  printf '%s\n' "${command[*]}"
  exit 0
fi
status=0
"${command[@]}" || status=$?
if [ "$status" -eq 0 ] && [ -t 1 ] && [ "$(command -v qtui || true)" != "$venv/bin/qtui" ]; then
  printf '\nTo type just qtui, and to see this run again:\n  cd %q && source %q\n' \
    "$workspace" "$venv/bin/activate"
fi
exit "$status"
