#!/usr/bin/env bash
# Makes the Python environment that quickstart.sh, test.sh and runpod.sh run in; the one place
# where that is done. Safe to run again: when nothing changed it ends at once.
#
# usage: bash scripts/setup.sh [--dev] [--dry-run]
#   --dev      also what the tests need
#   --dry-run  only say what would be done
#
#   QTUI_VENV    where the environment is (default: .venv beside this clone's pyproject.toml)
#   QTUI_PYTHON  the Python to make it with (default: the first that fits, 3.11 or newer)
#
# pip's own settings (PIP_INDEX_URL, PIP_FIND_LINKS, pip.conf, ...) are respected. That is also why
# this is pip and not uv: uv reads neither pip.conf nor every kind of index that pip can be set up
# with, and where a folder or an index of CPU builds is set up it would miss the CPU build of torch.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${QTUI_VENV:-$root/.venv}
case $venv in /*) ;; *) venv=$PWD/$venv ;; esac
extras=train,documents,serve,web
dry_run=
for argument in "$@"; do
  case $argument in
    # llama.cpp is built from source for minutes: people choose it, continuous integration tests it.
    --dev) extras=train,documents,serve,web,${QTUI_CI:+llama,}dev ;;
    --dry-run) dry_run=1 ;;
    -h | --help) sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) echo "setup: unknown option $argument; see bash scripts/setup.sh --help" >&2; exit 2 ;;
  esac
done
say() { printf '%s\n' "$*"; }
# give_up CODE WHAT WAY_OUT: codes as everywhere in qtui, 1 failed, 2 wrong input, 4 not possible.
give_up() {
  printf 'setup: %s\n  %s\n' "$2" "$3" >&2
  exit "$1"
}

pinned=$(sed -n 's/^torch==//p' "$root/constraints.txt")
log=$venv/qtui-setup.log
record=$venv/qtui-setup.done # written last, so an interrupted installation is done again

has_driver() { command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; }
version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }
runs_ours() { case $(version_of "$1") in 3.1[1-9]) ;; *) return 1 ;; esac }
installed_torch() {
  "$venv/bin/python" -c 'import importlib.metadata as m; print(m.version("torch"))' 2>/dev/null || true
}

# What the environment has to match: our own declarations, the clone it points to, the GPU.
wanted() {
  cat "$root/pyproject.toml" "$root/constraints.txt" "$root/scripts/setup.sh" | cksum
  say "clone $root"
  if has_driver; then say "gpu yes"; else say "gpu no"; fi
}

is_up_to_date() {
  [ -f "$record" ] || return 1
  # An environment made with a GPU stays good where the machine came back without one.
  [ "$(sed -n '1,/^gpu /p' "$record" | sed 's/^gpu yes$/gpu no/')" = \
    "$(wanted | sed 's/^gpu yes$/gpu no/')" ] || return 1
  if has_driver; then grep -qx 'gpu yes' "$record" || return 1; fi
  case ",$(sed -n 's/^extras //p' "$record")," in *",$extras,"*) ;; *) return 1 ;; esac
  [ "$(installed_torch)" = "$(sed -n 's/^torch //p' "$record")" ]
}

# Sets python, and own_torch where that Python's torch works with this machine's GPU.
choose_python() {
  python='' own_torch=''
  local candidate path seen='' too_old=''
  for candidate in ${QTUI_PYTHON:-python3.11 python3.12 python3.13 python3 python}; do
    path=$(command -v "$candidate") || continue
    if ! runs_ours "$path"; then
      too_old="$too_old $path ($(version_of "$path" || say 'does not run'))"
      continue
    fi
    seen=${seen:-$path}
    has_driver || break
    own_torch=$("$path" "$root/scripts/torch_checks.py" system 2>/dev/null | tail -n 1) || own_torch=''
    [ -z "$own_torch" ] || { python=$path; break; }
  done
  python=${python:-$seen}
  [ -n "$python" ] && return
  if [ -n "${QTUI_PYTHON:-}" ]; then
    give_up 4 "QTUI_PYTHON=$QTUI_PYTHON is not a Python of 3.11 or newer" \
      "Point it at one, or unset it to let this script look for one."
  fi
  give_up 4 "qtui needs Python 3.11 or newer; found:${too_old:- none}" \
    "Install one (Debian, Ubuntu: apt-get install python3.11 python3.11-venv), or set QTUI_PYTHON=/path/to/python."
}

existing_parent() {
  local folder=$1
  until [ -d "$folder" ]; do folder=$(dirname "$folder"); done
  say "$folder"
}

check_disk() {
  local need free parent
  parent=$(existing_parent "$venv")
  if [ -n "$own_torch" ]; then need=3; elif has_driver; then need=12; else need=4; fi
  free=$(df -Pk "$parent" | awk 'NR == 2 { print int($4 / 1048576) }')
  [ "$free" -ge "$need" ] || give_up 4 \
    "$parent has $free GB free; the environment needs about $need GB" \
    "Free some, or put it on another disk with QTUI_VENV=/path/with/room."
}

make_venv() {
  local message site=''
  [ -z "$own_torch" ] || site=--system-site-packages
  if [ -e "$venv" ] && [ ! -f "$venv/pyvenv.cfg" ] && [ -n "$(ls -A "$venv" 2>/dev/null)" ]; then
    give_up 2 "$venv is a folder with other things in it" \
      "Set QTUI_VENV to a folder that does not exist yet."
  fi
  # shellcheck disable=SC2086  # no option is no argument
  message=$("$python" -m venv --clear $site "$venv" 2>&1) || {
    case $message in
      *'No space left'*) give_up 1 "the disk is full at $venv" "Free some, or set QTUI_VENV." ;;
      *) give_up 1 "$python could not make an environment: $(printf %s "$message" | tail -n 1)" \
        "Is $venv writable? QTUI_VENV=/another/folder puts it elsewhere." ;;
    esac
  }
}

# On a terminal: one line that shows pip is alive. The log has everything.
show_progress() {
  [ -t 1 ] || { wait "$1"; return; }
  local started=$SECONDS status=0
  while kill -0 "$1" 2>/dev/null; do
    printf '\r\033[K  %d s  %s' $((SECONDS - started)) \
      "$(tail -n 1 "$log" | LC_ALL=C tr -cd ' -~' | cut -c 1-60)"
    sleep 1
  done
  printf '\r\033[K'
  wait "$1" || status=$?
  return "$status"
}

pip_install() {
  printf '\n== pip install %s\n' "$*" >>"$log"
  "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off \
    -c "$constraints" "$@" >>"$log" 2>&1 &
  pip=$!
  # A background job of a script is deaf to Ctrl-C: end it with us.
  trap 'kill "$pip" 2>/dev/null; exit 130' INT TERM HUP
  local status=0
  show_progress "$pip" || status=$?
  trap - INT TERM HUP
  [ "$status" -ne 0 ] || return 0
  tail -n 8 "$log" >&2
  if grep -q 'No space left on device' "$log"; then
    give_up 1 "the disk became full while installing" \
      "Free some, or set QTUI_VENV (and TMPDIR and PIP_CACHE_DIR) to a disk with room; then run this again."
  elif grep -qE 'No matching distribution|Could not find a version|NewConnectionError|Max retries|Failed to resolve|name resolution' "$log"; then
    give_up 1 "pip could not get what it needs from the package index (all of it: $log)" \
      "Is there a network? Behind a proxy set HTTPS_PROXY, for another index PIP_INDEX_URL; then run this again."
  fi
  give_up 1 "pip could not install qtui (all of it: $log)" "The reason is in the lines above."
}

if is_up_to_date; then
  say "environment: $venv, up to date"
  exit 0
fi

choose_python
if [ -f "$venv/pyvenv.cfg" ] && [ ! -f "$log" ]; then
  # Made by somebody else: used as it is, never emptied.
  if ! runs_ours "$venv/bin/python" || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    give_up 2 "$venv is not a working environment with pip and Python 3.11 or newer" \
      "Remove it, or set QTUI_VENV to a folder that does not exist yet."
  fi
  state='use' python=$venv/bin/python own_torch=''
elif [ -f "$record" ] && [ -x "$venv/bin/python" ] && runs_ours "$venv/bin/python" &&
  [ "$own_torch" = "$(sed -n 's/^own_torch //p' "$record")" ]; then
  state='update' python=$venv/bin/python
elif [ ! -f "$record" ] && [ -f "$venv/pyvenv.cfg" ] && [ -z "$own_torch" ] && runs_ours "$venv/bin/python"; then
  state='use' # an installation that was cut off
else
  state='make'
fi
if [ -n "$own_torch" ]; then
  torch_plan="$own_torch of $python, which works with this GPU; kept"
else
  torch_plan="$pinned from the package index"
fi
say "python:      $python ($(version_of "$python"))"
say "environment: $venv ($state)"
say "torch:       $torch_plan"
say "packages:    qtui[$extras] from $root"
[ -z "$dry_run" ] || exit 0

if [ "$state" = make ] && ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  give_up 4 "$python cannot make environments: its venv module is missing" \
    "Debian, Ubuntu: apt-get install python$(version_of "$python")-venv; or set QTUI_PYTHON=/path/to/another/python."
fi
check_disk
started=$SECONDS
mkdir -p "$(dirname "$venv")" 2>/dev/null || give_up 2 "$(dirname "$venv") cannot be made" \
  "Set QTUI_VENV to a folder that you may write to."
if command -v flock >/dev/null; then
  exec 9>"$venv.lock"
  # 75: another has it. Anything else: this disk knows no locks, as some network volumes; go on.
  flock -n -E 75 9 || [ $? -ne 75 ] || { say "waiting for another setup of $venv to end ..."; flock 9; }
  if is_up_to_date; then
    say "environment: $venv, up to date"
    exit 0
  fi
fi
[ "$state" != make ] || make_venv
rm -f "$record"
: >"$log"
constraints=$venv/qtui-constraints.txt
sed "s/^torch==.*/torch==${own_torch:-$pinned}/" "$root/constraints.txt" >"$constraints"

if [ -z "$own_torch" ]; then
  say "installing torch $pinned: 1 minute or so for a CPU build, several GB and minutes for CUDA ..."
  pip_install "torch==$pinned"
fi
say "installing qtui and what it trains with: 1 to 3 minutes ..."
pip_install -e "${root}[$extras]"

check=$("$venv/bin/python" "$root/scripts/torch_checks.py" verify 2>>"$log" | tail -n 1) || give_up 1 \
  "installed, but it does not compute: $check" \
  "Remove $venv and run this again; if it stays, QTUI_DEBUG=1 $venv/bin/python $root/scripts/torch_checks.py verify says more."
[ -z "$own_torch" ] || [ "$(installed_torch)" = "$own_torch" ] || give_up 1 \
  "torch $own_torch of this machine was covered by $(installed_torch)" "Remove $venv and run this again."
{
  wanted
  say "extras $extras"
  say "own_torch $own_torch"
  say "torch $(installed_torch)"
} >"$record.new"
mv "$record.new" "$record"
say "$check"
case $check in *' on CPU'*) if has_driver; then
  say "note: this machine has an NVIDIA GPU but torch cannot use it: its driver may be older than this"
  say "      torch's CUDA. Take a newer driver or image; until then training runs on the CPU."
fi ;; esac
say "ready after $((SECONDS - started)) s"
