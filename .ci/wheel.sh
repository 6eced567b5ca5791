#!/usr/bin/env bash
# Uses a wheel as somebody does who has no checkout; see `make dist`.
#   .ci/wheel.sh PYTHON WHEEL
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
python=$1 wheel=$(realpath "$2")
away=$(mktemp -d)
trap 'rm -rf "$away"' EXIT
unset PYTHONPATH PYTHONHOME
export JAX_PLATFORMS=cpu MPLBACKEND=agg PIP_DISABLE_PIP_VERSION_CHECK=1
cp -r "$root/examples" "$away/examples"
"$python" -m venv "$away/venv"
cd "$away"
bin=$away/venv/bin
"$bin/pip" install --quiet "$wheel"
"$bin/python" - "$away/venv" <<'CHECK'
import sys
import experiments, metaaux
for module in (metaaux, experiments):
  if not module.__file__.startswith(sys.argv[1] + "/"):
    sys.exit(f"{module.__file__} is not of the wheel")
CHECK
for script in examples/*.py; do
  echo "== $script"
  "$bin/python" "$script"
done
echo "== metaaux"
"$bin/metaaux" --help >help.txt
grep -q -- --config.method= help.txt
# None of these files is in the working directory.
for method in single uniform; do
  "$bin/metaaux" --config="configs/maxl_digits.py:runlocal,method=$method" \
    --workdir="runs/$method" --config.num_steps=20
done
"$bin/python" -m experiments.table --workdir=runs
"$bin/python" -m experiments.sweep --workdir=sweep --dry_run \
  --sweep=experiments/sweeps/digits_all_methods.py:runlocal >sweep.txt
grep -q damtl_digits sweep.txt
# The page's template and style, which only this extra needs.
"$bin/pip" install --quiet "$wheel[report]"
"$bin/python" -m experiments.report --workdir=runs
test -s runs/report.html
echo "$(basename "$wheel") works outside of the checkout"
