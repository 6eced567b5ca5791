"""Classes of CIFAR-100: which of a fine level belong to which of a coarse one.

The two coarsest levels are those of Liu, Davison & Johns 2019, which group the
20 coarse classes into 10, and those into 3.
"""

NAMES_OF_10 = (
  "large animals",
  "medium animals",
  "small animals",
  "invertebrates",
  "people",
  "vegetations",
  "household objects",
  "construction",
  "natural scenes",
  "vehicles",
)
NAMES_OF_3 = ("animals", "vegetations", "objects and scenes")

# Index: the standard (alphabetical) id of the fine class.
# fmt: off
FROM_100_TO_20 = (
  4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11,
  6, 11, 5, 10, 7, 6, 13, 15, 3, 15, 0, 11, 1, 10, 12, 14, 16, 9, 11, 5,
  5, 19, 8, 8, 15, 13, 14, 17, 18, 10, 16, 4, 17, 4, 2, 0, 17, 4, 18, 17,
  10, 3, 2, 12, 12, 16, 12, 1, 9, 19, 2, 10, 0, 1, 16, 12, 9, 13, 15, 13,
  16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14, 13,
)
# fmt: on

# Index: the standard (alphabetical) id of the coarse class.
# fmt: off
FROM_20_TO_10 = (
  1, 2, 5, 6, 5, 6, 6, 3, 0, 7, 8, 0, 1, 3, 4, 0, 2, 5, 9, 9,
)
# fmt: on
FROM_10_TO_3 = (0, 0, 0, 0, 0, 1, 2, 2, 2, 2)
