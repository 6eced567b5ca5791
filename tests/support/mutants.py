"""Small changes to a source file, one at a time: what `mutations` draws from.

A change replaces one expression or statement by another that a slip of the pen
might have written: `<` by `<=`, a sum by a mean, a call without the guard
around its argument. Left alone are texts, annotations, decorators and what an
error says; they change no number.
"""

import ast
import collections
import copy
import random
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

_COMPARED = {
  ast.Lt: ast.LtE,
  ast.LtE: ast.Lt,
  ast.Gt: ast.GtE,
  ast.GtE: ast.Gt,
  ast.Eq: ast.NotEq,
  ast.NotEq: ast.Eq,
  ast.Is: ast.IsNot,
  ast.IsNot: ast.Is,
  ast.In: ast.NotIn,
  ast.NotIn: ast.In,
}
_COMPUTED = {
  ast.Add: ast.Sub,
  ast.Sub: ast.Add,
  ast.Mult: ast.Div,
  ast.Div: ast.Mult,
  ast.FloorDiv: ast.Mult,
  ast.Mod: ast.Mult,
  ast.Pow: ast.Mult,
  ast.BitAnd: ast.BitOr,
  ast.BitOr: ast.BitAnd,
}
_PAIRS = (
  ("sum", "mean"),
  ("max", "min"),
  ("maximum", "minimum"),
  ("argmax", "argmin"),
  ("any", "all"),
  ("exp", "expm1"),
  ("log", "log1p"),
  ("floor", "ceil"),
  ("zeros", "ones"),
  ("zeros_like", "ones_like"),
  ("first", "last"),
)
_NAMES = {a: b for pair in _PAIRS for a, b in (pair, pair[::-1])}
# Calls that may be left out, so that their first argument stays alone.
_GUARDS = {
  *("stop_gradient", "pmean", "psum", "sorted", "maximum", "minimum", "abs"),
  *(
    "clip",
    "sqrt",
    "square",
    "reversed",
    "array",
    "ascontiguousarray",
    "shard",
  ),
  *("natural", "abspath", "normalised", "fold_in", "max", "min", "astype"),
}


class Mutant(NamedTuple):
  """One change of one file.

  Attributes:
    file: path below the root.
    function: in which it is, dotted; "" at the top.
    line: of the change, from 1.
    before: the source of what is replaced.
    after: what takes its place.
    start: where `before` begins in the text.
    where: the line as it is, and which change of its kind on the line it is.
  """

  file: str
  function: str
  line: int
  before: str
  after: str
  start: int
  where: str

  def __str__(self) -> str:
    """Without the number of the line, which other changes move."""
    before, after = (" ".join(x.split()) for x in (self.before, self.after))
    return f"{self.file} {self.function} | {self.where} | {before} -> {after}"

  def apply(self, text: str) -> str:
    """The text of the file with the change in it."""
    end = self.start + len(self.before)
    return text[: self.start] + self.after + text[end:]


def of_file(file: str, text: str) -> list[Mutant]:
  """All changes of a file, in the order of its text.

  Args:
    file: its path below the root.
    text: what it holds.
  """
  lines = text.splitlines(keepends=True)
  offsets = [0]
  for line in lines:
    offsets.append(offsets[-1] + len(line))

  def place(line: int, column: int) -> int:
    # Columns of ast count bytes.
    prefix = lines[line - 1].encode()[:column].decode()
    return offsets[line - 1] + len(prefix)

  found: list[Mutant] = []
  seen = collections.Counter()
  for node, function, is_test in _nodes(ast.parse(text), ""):
    start = place(node.lineno, node.col_offset)
    end = place(node.end_lineno, node.end_col_offset)
    for other in [*_others(node), *([_negated(node)] if is_test else [])]:
      after = ast.unparse(other)
      if isinstance(node, ast.expr):
        after = f"({after})"
      before, own = text[start:end], lines[node.lineno - 1].strip()
      seen[node.lineno, before, after] += 1
      number = seen[node.lineno, before, after]
      where = own if number == 1 else f"{own} ({number})"
      found.append(
        Mutant(file, function, node.lineno, before, after, start, where)
      )
  return found


def draw(
  found: Sequence[Mutant], count: int, seed: str, excluded: Collection[str] = ()
) -> list[Mutant]:
  """Some changes, spread over the functions.

  The functions take turns in a random order; each gives one of its changes at
  random, until there are enough.

  Args:
    found: of one or several files.
    count: how many, at most.
    seed: of the random numbers.
    excluded: changes that are passed over when it is their turn.
  """
  rng = random.Random(seed)
  by_function: dict[tuple[str, str], list[Mutant]] = {}
  for mutant in found:
    by_function.setdefault((mutant.file, mutant.function), []).append(mutant)
  turns = list(by_function.values())
  for each in turns:
    rng.shuffle(each)
  rng.shuffle(turns)
  drawn: list[Mutant] = []
  while len(drawn) < count and any(turns):
    for each in turns:
      while each and str(each[-1]) in excluded:
        each.pop()
      if each and len(drawn) < count:
        drawn.append(each.pop())
  return drawn


def _nodes(node: ast.AST, function: str) -> Iterator[tuple[ast.AST, str, bool]]:
  """What may be changed, in which function it is, and if it is asked for."""
  for name, value in ast.iter_fields(node):
    if name in ("annotation", "returns", "decorator_list", "bases", "exc"):
      continue
    for child in value if isinstance(value, list) else [value]:
      if not isinstance(child, ast.AST) or _is_text(child):
        continue
      inside = function
      if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
        inside = f"{function}.{child.name}".lstrip(".")
      if isinstance(child, (ast.expr, ast.stmt)):
        # What has an operator of its own is changed there.
        simple = isinstance(child, (ast.Name, ast.Attribute, ast.Call))
        yield child, inside, name == "test" and simple
      elif isinstance(child, ast.keyword) and child.arg == "strict":
        continue
      yield from _nodes(child, inside)


def _is_text(node: ast.AST) -> bool:
  """Strings, imports, and what is said of an error or a warning."""
  if isinstance(node, ast.Expr):
    return isinstance(node.value, ast.Constant)
  return isinstance(node, (ast.JoinedStr, ast.Import, ast.ImportFrom))


def _others(node: ast.AST) -> Iterator[ast.AST]:
  """What may stand in the place of a node."""
  if isinstance(node, ast.Compare) and len(node.ops) == 1:
    yield _with(node, ops=[_COMPARED[type(node.ops[0])]()])
  elif isinstance(node, ast.BinOp) and type(node.op) in _COMPUTED:
    if not (_is_text_or_none(node.left) or _is_text_or_none(node.right)):
      yield _with(node, op=_COMPUTED[type(node.op)]())
  elif isinstance(node, ast.UnaryOp) and isinstance(
    node.op, (ast.Not, ast.USub)
  ):
    yield node.operand
  elif isinstance(node, ast.BoolOp):
    yield _with(
      node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And()
    )
  elif isinstance(node, ast.Constant):
    yield from _other_constants(node)
  elif isinstance(node, ast.Call):
    yield from _other_calls(node)
  elif isinstance(node, ast.IfExp):
    yield _with(node, body=node.orelse, orelse=node.body)
  elif isinstance(node, (ast.Expr, ast.Raise, ast.AugAssign)):
    if not isinstance(getattr(node, "value", None), (ast.Yield, ast.Await)):
      yield ast.Pass()
  elif isinstance(node, ast.Continue):
    yield ast.Break()
  elif isinstance(node, ast.Break):
    yield ast.Continue()


def _other_constants(node: ast.Constant) -> Iterator[ast.AST]:
  if isinstance(node.value, bool):
    yield _with(node, value=not node.value)
  elif isinstance(node.value, int):
    yield _with(node, value=node.value + 1)
  elif isinstance(node.value, float):
    yield _with(node, value=2 * node.value if node.value else 1.0)


def _other_calls(node: ast.Call) -> Iterator[ast.AST]:
  function = node.func
  name = getattr(function, "attr", getattr(function, "id", ""))
  if name in _NAMES:
    key = "attr" if isinstance(function, ast.Attribute) else "id"
    yield _with(node, func=_with(function, **{key: _NAMES[name]}))
  if (
    name in _GUARDS and node.args and not isinstance(node.args[0], ast.Starred)
  ):
    yield node.args[0]
  if name == "astype":
    yield function.value
  if name == "where" and len(node.args) == 3:
    condition, a, b = node.args
    yield _with(node, args=[condition, b, a])


def _negated(node: ast.AST) -> ast.AST:
  return ast.UnaryOp(ast.Not(), node)


def _with(node: ast.AST, **changes: object) -> ast.AST:
  other = copy.copy(node)
  for name, value in changes.items():
    setattr(other, name, value)
  return other


def _is_text_or_none(node: ast.AST) -> bool:
  return isinstance(node, ast.JoinedStr) or (
    isinstance(node, ast.Constant)
    and (node.value is None or isinstance(node.value, (str, bytes)))
  )
