"""Starts `python -m experiments.sweep`."""

import sys

from .. import sweep

if __name__ == "__main__":
  sys.exit(sweep.main(sys.argv[1:]))
