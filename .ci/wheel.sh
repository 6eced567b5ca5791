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
import importlib.metadata, pathlib, sys
import metaaux, metaaux.experiments
for module in (metaaux, metaaux.experiments):
  if not module.__file__.startswith(sys.argv[1] + "/"):
    sys.exit(f"{module.__file__} is not of the wheel")
files = importlib.metadata.files("metaaux")
names = {path.parts[0] for path in files if path.suffix in (".py", ".jinja")}
if names != {"metaaux"}:
  sys.exit(f"the wheel has {names} at its top, not metaaux alone")
CHECK
for script in examples/*.py; do
  echo "== $script"
  "$bin/python" "$script"
done
echo "== metaaux"
"$bin/metaaux" --help >help.txt
grep -q "^  table " help.txt
"$bin/metaaux" train --help >help.txt
grep -q -- --config.method= help.txt
# None of these files is in the working directory.
for method in single uniform; do
  "$bin/metaaux" --config="maxl_digits:runlocal,method=$method" \
    --workdir="runs/$method" --config.num_steps=20
done
"$bin/metaaux" evaluate --workdir=runs/single
"$bin/metaaux" table --workdir=runs
"$bin/metaaux" sweep --sweep=digits_all_methods:runlocal --workdir=sweep \
  --dry_run >sweep.txt
grep -q damtl_digits sweep.txt
# The page's template and style, which only this extra needs.
"$bin/pip" install --quiet "$wheel[report]"
"$bin/metaaux" report --workdir=runs
test -s runs/report.html
echo "$(basename "$wheel") works outside of the checkout"
