"""Starts `python -m experiments.sweep`."""

import sys

from experiments import sweep

if __name__ == "__main__":
  sys.exit(sweep.main(sys.argv[1:]))
