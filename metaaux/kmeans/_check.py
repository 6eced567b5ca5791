"""What the arguments of k-means may be."""

import math
import numbers
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from metaaux.losses import distances

Array = jax.Array


def check_arrays(
  x: ArrayLike,
  k: int,
  init: str | ArrayLike,
  scale: ArrayLike | None,
  axis_name: str | None,
  inits: tuple[str, ...],
) -> tuple[Array, Array, str | Array]:
  """Returns x, scale [T, d], and init, which is a name or [T, k, d].

  Raises:
    ValueError: they do not fit together, or have NaN or infinity in them.
  """
  given, x = x, _asarray("x", x)
  if x.ndim != 2 or not jnp.issubdtype(x.dtype, jnp.floating):
    raise ValueError(f"x is {_describe(x)}, expected floats [n, d].")
  n, d = x.shape
  if d == 0:
    raise ValueError(f"x is {_describe(x)}: its rows have no columns.")
  check_number("k", k, 1)
  devices = 1 if axis_name is None else lax.psum(1, axis_name)
  if k > n * devices:
    raise ValueError(
      f"k={k} clusters of {n * devices} rows; give k <= {n * devices}."
    )
  dtype = jnp.promote_types(x.dtype, jnp.float32)
  scale_TxD = jnp.ones((1, d), dtype)
  if scale is not None:
    scale = _asarray("scale", scale)
    if scale.ndim not in (1, 2) or scale.shape[-1] != d or scale.size == 0:
      raise ValueError(
        f"scale is {_describe(scale)}, expected [{d}] or [T, {d}] with T > 0."
      )
    scale_TxD = jnp.atleast_2d(scale).astype(dtype)
    _check_finite("scale", scale)
  if isinstance(init, str):
    if init not in inits:
      raise ValueError(
        f"init={init!r} is unknown; give one of {', '.join(inits)}, or an array"
        f" of centroids [{k}, {d}]."
      )
  else:
    init = _check_init(init, len(scale_TxD), k, d).astype(dtype)
  _check_finite("x", x)
  _check_distinct(given, x, k)
  return x, scale_TxD, init


def _check_init(init: ArrayLike, t: int, k: int, d: int) -> Array:
  init = _asarray("init", init)
  if init.shape not in ((k, d), (t, k, d)):
    raise ValueError(
      f"init is {_describe(init)}, expected centroids [{k}, {d}] or "
      f"[{t}, {k}, {d}]."
    )
  _check_finite("init", init)
  return jnp.broadcast_to(init, (t, k, d))


def check_key(key: Array | None, needed: bool) -> None:
  """Raises ValueError for what is no key where one is drawn from."""
  if needed and not isinstance(key, jax.Array | np.ndarray):
    raise ValueError(
      f"key={key!r}, but rows are drawn; give a key, jax.random.key(0), or to "
      "`kmeans` centroids as init."
    )


def _asarray(name: str, x: ArrayLike) -> Array:
  """As an array of JAX, whose range must do for what was finite before."""
  if _is_narrowed(x):
    most = np.abs(x).max(initial=0)
    if np.isfinite(most):
      _check_range(name, most, jnp.result_type(x))
  return distances.native(name, x)


def _is_narrowed(x: ArrayLike) -> bool:
  """Whether these are float64 that JAX will make float32."""
  floats = isinstance(x, np.ndarray) and np.issubdtype(x.dtype, np.floating)
  return (
    floats
    and x.dtype.isnative
    and x.dtype.itemsize > jnp.result_type(x).itemsize
  )


def without_offset(
  x: ArrayLike, init: str | ArrayLike
) -> tuple[ArrayLike, str | ArrayLike, np.ndarray | None]:
  """Moves rows and centroids where float32 would lose them to an offset.

  Args:
    x: rows.
    init: a name or centroids.

  Returns:
    Both, and what was subtracted in float64 [d]; None where nothing was, which
    is whenever float32 resolves a thousandth of each column's deviation.
  """
  if not _is_narrowed(x) or x.ndim != 2 or not x.size:
    return x, init, None
  if not np.isfinite(x).all() or np.abs(x).max() > 1e150:
    return x, init, None
  deviation_D = x.std(axis=0)
  rounding_D = np.abs(x).max(axis=0) * np.finfo(np.float32).eps
  if not np.any((rounding_D > 1e-3 * deviation_D) & (deviation_D > 0)):
    return x, init, None
  offset_D = x.mean(axis=0)
  if not isinstance(init, str) and np.shape(init)[-1:] == offset_D.shape:
    init = np.asarray(init, x.dtype) - offset_D
  return x - offset_D, init, offset_D


def _check_range(name: str, most: float, dtype: Any) -> None:
  if most > jnp.finfo(dtype).max:
    raise ValueError(
      f"{name} has numbers up to {most:.3g}, beyond {dtype}; divide it by its "
      "largest, or set jax_enable_x64."
    )


def _check_distinct(given: ArrayLike, x: Array, k: int) -> None:
  """Looks for rows of float64 that are one in float32, if k needs them."""
  if isinstance(x, jax.core.Tracer) or not _is_narrowed(given):
    return
  found = _count_distinct(np.asarray(x), k)
  if found < k and _count_distinct(given, k) > found:
    raise ValueError(
      f"x is {given.dtype}, and in {x.dtype} only {found} of its rows are "
      f"different, too few for k={k}; set jax_enable_x64, or give parts "
      "that lie far apart one by one."
    )


def _count_distinct(x: np.ndarray, most: int) -> int:
  """Number of different rows; stops at `most`, which is soon as a rule."""
  seen: set[bytes] = set()
  for row in x:
    # Zeros have two signs.
    seen.add((row + 0).tobytes())
    if len(seen) >= most:
      break
  return len(seen)


def check_number(name: str, value: Any, least: int) -> None:
  """Raises ValueError unless value is an integer of at least `least`."""
  if isinstance(value, jax.core.Tracer):
    return
  integer = isinstance(value, numbers.Integral) or (
    isinstance(value, jax.Array)
    and value.ndim == 0
    and jnp.issubdtype(value.dtype, jnp.integer)
  )
  if isinstance(value, bool) or not integer or value < least:
    raise ValueError(f"{name}={value!r} is not an integer >= {least}.")


def check_chunk(chunk: int | None, num_scores: int) -> int:
  """Returns rows taken at a time, for so many scores a row if it is None.

  Raises:
    ValueError: chunk is not an integer of at least 1.
  """
  if chunk is not None:
    check_number("chunk", chunk, 1)
    return chunk
  # The scores of a chunk should stay in a CPU's cache, and its matrix product
  # be worth spreading over the cores.
  return min(4096, max(512, 2**20 // num_scores))


def check_tol(tol: Any) -> None:
  """Raises ValueError unless tol is a finite number >= 0."""
  if not isinstance(tol, jax.core.Tracer) and not 0 <= tol < math.inf:
    raise ValueError(f"tol={tol!r} is not a finite number >= 0.")


def _check_finite(name: str, x: Array) -> None:
  """Looks into an array where its values are known."""
  if isinstance(x, jax.core.Tracer):
    return
  with jax.ensure_compile_time_eval():  # where a constant is used under `jit`
    if _all_finite(x):
      return
  bad = np.argwhere(~np.isfinite(np.asarray(x, np.float64)))
  where = tuple(int(i) for i in bad[0])
  raise ValueError(
    f"{name} has {len(bad)} values that are not finite, the first at "
    f"{list(where)}: {x[where]}; leave such rows out."
  )


@jax.jit
def _all_finite(x: Array) -> Array:
  """Whether all is finite, without an array of as many answers."""
  chunk = min(1024, len(x))

  def step(i: Array, good: Array) -> Array:
    start = jnp.minimum(i * chunk, len(x) - chunk)
    part = lax.dynamic_slice_in_dim(x, start, chunk)
    # Column by column first, which a CPU does several numbers at a time.
    return good & jnp.all(jnp.all(jnp.isfinite(part), axis=0))

  return lax.fori_loop(0, -(-len(x) // chunk), step, jnp.array(True))


def _describe(x: Array) -> str:
  return f"{x.dtype}{list(x.shape)}"
