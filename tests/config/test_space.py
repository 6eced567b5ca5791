"""Points of a sweep, put together."""

import re

import pytest

from metaaux.config import space
from metaaux.errors import UserError


def test_product_turns_the_last_part_fastest():
  found = space.product(
    {"config": "c.py"},
    space.axis(":method", ["single", "maxl"]),
    space.axis("seed", range(2)),
  )
  assert found == [
    {"config": "c.py", ":method": "single", "seed": 0},
    {"config": "c.py", ":method": "single", "seed": 1},
    {"config": "c.py", ":method": "maxl", "seed": 0},
    {"config": "c.py", ":method": "maxl", "seed": 1},
  ]


def test_zip_goes_through_parts_together():
  found = space.zip(space.axis("a", [1, 2]), space.axis("b", "xy"))
  assert found == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]


def test_chain_takes_dicts_lists_and_generators():
  points = ({"a": i} for i in range(2))
  found = space.chain({"a": 9}, points, [], [{"a": 7}])
  assert [point["a"] for point in found] == [9, 0, 1, 7]


def test_an_empty_dict_is_one_point_and_an_empty_list_none():
  assert space.product({}, space.axis("a", [1])) == [{"a": 1}]
  assert space.product([], space.axis("a", [1])) == []
  assert space.product() == [{}]


def test_what_goes_in_is_not_changed():
  base = {"a": 1}
  space.product(base, {"b": 2})[0]["a"] = 3
  space.chain(base)[0]["a"] = 4
  assert base == {"a": 1}


@pytest.mark.parametrize(
  ("make", "message"),
  [
    (
      lambda: space.product({"a": 1}, {"b": 0}, {"a": 2}),
      "the key 'a' is given twice, 1 and 2",
    ),
    (
      lambda: space.zip(space.axis("a", [1]), space.axis("b", [1, 2])),
      r"parts of 1, 2 points; .* \(product\(\) makes",
    ),
    (lambda: space.chain("ab"), "made of dicts; 'ab' is none"),
    (lambda: space.chain(3), "made of dicts; 3 is none"),
    (lambda: space.chain([{"a": 1}, 2]), "made of dicts .* 2 is none"),
    (lambda: space.chain([{1: 2}]), re.escape("{1: 2} is none")),
  ],
)
def test_mistakes(make, message):
  with pytest.raises(UserError, match=message):
    make()
