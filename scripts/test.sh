#!/usr/bin/env bash
# Everything that has to hold before a commit: format, lint, types, import rules, tests.
# All of them run even if one fails; the end says which did and how long each took. Tests that do not
# train mostly wait, so three run at a time; those that train run one after another, because two
# busy torch processes on two cores slow each other down.
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
fast=''
case ${1:-} in
  --fast) fast=1; shift ;;
  -h | --help) sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"; exit 0 ;;
esac

bash "$root/scripts/setup.sh" --dev
cd "$root"
bin=$venv/bin
chosen=$*
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

# run_tests ARGUMENTS...: pytest; that what was asked for is all among the other tests is no fault.
run_tests() {
  local status=0
  "$bin/python" -m pytest "$@" || status=$?
  [ "$status" -ne 5 ] || [ -z "$chosen" ] || status=0
  return "$status"
}

check format "$bin/ruff" format --check .
check lint "$bin/ruff" check .
check types "$bin/mypy"
check imports "$bin/lint-imports" --no-logo
check quick run_tests -n 3 --dist loadfile -m 'not train' "$@"
[ -n "$fast" ] || check train run_tests -m train "$@"

printf '\n%s' "$report"
[ -z "$failed" ] || { echo "failed:$failed" >&2; exit 1; }
