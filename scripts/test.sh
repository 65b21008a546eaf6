#!/usr/bin/env bash
# Everything that has to hold before a commit: format, lint, types, import rules, tests.
# All of them run even if one fails; the end says which did and how long each took.
#
# usage: bash scripts/test.sh [--fast] [arguments of pytest ...]
#   --fast     without the tests that load torch and train (marked train)
#
#   QTUI_VENV, QTUI_PYTHON: see scripts/setup.sh
#   QTUI_CI=1: a test whose program (sshd, tmux, a compiler) is missing fails instead of skipping
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${QTUI_VENV:-$root/.venv}
case $venv in /*) ;; *) venv=$PWD/$venv ;; esac
marker=()
case ${1:-} in
  --fast) marker=(-m 'not train'); shift ;;
  -h | --help) sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"; exit 0 ;;
esac

bash "$root/scripts/setup.sh" --dev
cd "$root"
bin=$venv/bin
report='' failed=''

# check NAME COMMAND...: runs it, shows its output, notes the time and whether it held.
check() {
  local name=$1 started=$SECONDS status=0
  shift
  printf '\n== %s: %s\n' "$name" "${*/#$bin\//}"
  "$@" || status=$?
  local verdict=ok
  [ "$status" -eq 0 ] || { verdict="FAILED ($status)" failed="$failed $name"; }
  report+=$(printf '%-9s %5d s  %s' "$name" $((SECONDS - started)) "$verdict")$'\n'
}

check format "$bin/ruff" format --check .
check lint "$bin/ruff" check .
check types "$bin/mypy"
check imports "$bin/lint-imports" --no-logo
check tests "$bin/python" -m pytest ${marker[@]+"${marker[@]}"} "$@"

printf '\n%s' "$report"
[ -z "$failed" ] || { echo "failed:$failed" >&2; exit 1; }
