"""Starts `python -m experiments.report`."""

import sys

from .. import report

if __name__ == "__main__":
  sys.exit(report.main(sys.argv[1:]))
