"""The changes that the exercise of `mutations` draws from."""

import ast

import mutants
import mutations
import pytest

TEXT = '''"""Says 1 + 1."""

import math

LIMIT: int = 3


def area(radius, *, scale=2.0):
  """Of a circle, say 1 < 2."""
  if not radius > 0:
    raise ValueError(f"{radius + 1} is no radius")
  total = sum([math.pi * radius**2, -LIMIT])  # \N{SUPERSCRIPT TWO}, 1 + 1
  return total if scale else max(0, total)
'''
SUM = "sum([math.pi * radius**2, -LIMIT])"
CHOICE = "total if scale else max(0, total)"


def test_changes_of_a_file():
  found = mutants.of_file("a.py", TEXT)
  assert {(m.before, m.after) for m in found} == {
    ("3", "(4)"),
    ("2.0", "(4.0)"),
    ("not radius > 0", "(radius > 0)"),
    ("radius > 0", "(radius >= 0)"),
    ("0", "(1)"),
    ('raise ValueError(f"{radius + 1} is no radius")', "pass"),
    (SUM, "(mean([math.pi * radius ** 2, -LIMIT]))"),
    ("math.pi * radius**2", "(math.pi / radius ** 2)"),
    ("radius**2", "(radius * 2)"),
    ("2", "(3)"),
    ("-LIMIT", "(LIMIT)"),
    (CHOICE, "(max(0, total) if scale else total)"),
    ("scale", "(not scale)"),
    ("max(0, total)", "(min(0, total))"),
    ("max(0, total)", "(0)"),
  }
  assert len({str(m) for m in found}) == len(found)
  for mutant in found:
    changed = mutant.apply(TEXT)
    ast.parse(changed)
    assert changed != TEXT
    assert len(changed) - len(TEXT) == len(mutant.after) - len(mutant.before)


def test_draws_are_spread_and_repeatable():
  found = mutants.of_file("a.py", TEXT)
  drawn = mutants.draw(found, 6, "seed")
  assert drawn == mutants.draw(found, 6, "seed")
  assert len(set(drawn)) == 6
  # Both the top of the file and the function give one of the first two.
  assert {m.function for m in drawn[:2]} == {"", "area"}
  assert len(mutants.draw(found, 99, "seed")) == len(found)
  # What is passed over leaves the others where they are.
  rest = mutants.draw(found, 6, "seed", {str(drawn[0])})
  assert drawn[0] not in rest and set(drawn[1:]) <= set(rest)


@pytest.mark.parametrize("part", mutations.PARTS)
def test_every_part_has_changes_and_tests(part):
  drawn = mutations.drawn(part, 12)
  assert len(drawn) == 12
  assert not {str(m) for m in drawn} & mutations.EXCLUDED.keys()
  for mutant in drawn:
    for process in mutations.tests_of(part, mutant.file):
      assert any(
        list(mutations.ROOT.glob(pattern)) for pattern in process.split()
      )
