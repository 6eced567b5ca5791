"""What the benchmark counts: sums over devices of a program of known size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

from benchmarks import imagenet


def program_of(function, *sizes):
  mesh = Mesh(np.asarray(jax.devices()), ("d",))
  spec = PartitionSpec("d")
  mapped = jax.shard_map(function, mesh=mesh, in_specs=spec, out_specs=spec)
  arguments = [jnp.zeros((4 * size,)) for size in sizes]
  return jax.jit(mapped).lower(*arguments).compile().as_text()


def test_large_and_small_sums():
  def function(large, small):
    large = jax.lax.psum(large, "d")
    # Waits for the other, so that they cannot become one.
    return large[:4], jax.lax.psum(small + large[0], "d")

  sums = imagenet.sums_of(program_of(function, 500_000, 10))
  assert sums == {"all-reduce": imagenet.Sums(2, 1, pytest.approx(2.00004))}


def test_tuples_and_their_comments():
  text = """
  %a = (f32[10]{0}, /*index=1*/u8[2,5]{1,0}) all-reduce(%x, %y), channel_id=1
  ROOT %b = f32[] all-reduce(%z), channel_id=2
  %c = u8[8]{0} reduce-scatter(%a), dimensions={0}
  %d = f32[3] add(%a, %b)
  """
  sums = imagenet.sums_of(text)
  assert sums["all-reduce"] == imagenet.Sums(2, 2, pytest.approx(54e-6))
  assert sums["reduce-scatter"] == imagenet.Sums(1, 1, pytest.approx(8e-6))
  assert len(sums) == 2


def test_images_and_config(tmp_path, monkeypatch):
  monkeypatch.setattr(imagenet, "PER_CLASS", 1)
  path = str(tmp_path / "images.npz")
  imagenet.write_images(path, 4)
  with np.load(path) as stored:
    assert stored["x_train"].shape == (1000, 4, 4, 3)
    assert sorted(stored["y_test"]) == list(range(1000))
  config = imagenet.config_of(path, "maxl", 8)
  assert config.model.name == "resnet50" and config.psi == (5,)
