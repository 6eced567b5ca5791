"""The packages of the wheel; everything else about it is in setup.cfg.

The wheel has one name at its top, metaaux. The commands of experiments/ and the
files of configs/, which stand beside the package in a checkout, are inside it
there; setup.cfg cannot both find packages and rename them.
"""

import setuptools

INSIDE = ("experiments", "configs")
# Also folders without an __init__.py: files that are run by their path.
found = setuptools.find_namespace_packages(
  include=["metaaux*", *(f"{name}*" for name in INSIDE)],
  exclude=["experiments.notebooks*", "*.__pycache__*"],
)
setuptools.setup(
  packages=[
    f"metaaux.{name}" if name.split(".")[0] in INSIDE else name
    for name in found
  ],
  package_dir={f"metaaux.{name}": name for name in INSIDE},
)
