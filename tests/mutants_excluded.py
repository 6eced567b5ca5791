"""Changes that `mutations` does not draw, each with the reason."""

EXCLUDED: dict[str, str] = {
  "metaaux/losses.py _entropy | return -np.sum(probs * np.log(np.where(probs > "
  "0, probs, 1)), axis=-1) | 1 -> (2)": "the logarithm is multiplied by 0",
  "metaaux/losses.py focal_loss | return jnp.where(jnp.any(hit_BxC, axis=-1), "
  "loss_B, jnp.nan) | -1 -> (1)": "the last axis of a matrix is axis 1",
  "metaaux/feed.py  | _BLOCK_STEPS = 256 | 256 -> (257)": "an order is of its "
  "epoch, however many are made at once",
}
