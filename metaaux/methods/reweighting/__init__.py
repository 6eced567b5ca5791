"""Weights of auxiliary tasks: one rule a file, behind one signature.

  from metaaux.methods.reweighting import Tasks, arml

  weighting = arml.make(eta=0.0125)
  state = weighting.init(num_tasks)
  tasks = Tasks(shared_params, primary_loss, auxiliary_losses)
  weight_K, state, metrics = weighting.update(state, tasks, key)

Nothing here knows a training loop, a config or a kind of network; see `Tasks`
and `Weighting`.
"""

from collections.abc import Callable, Mapping

from metaaux.methods.reweighting import (
  adaloss,
  arml,
  auto_lambda,
  cagrad,
  cosine_similarity,
  dwa,
  fixed,
  gradnorm,
  imtl,
  mgda,
  nash_mtl,
  ol_aux,
  pcgrad,
  qp_ema,
  rlw,
  uncertainty,
  uniform,
)
from metaaux.methods.reweighting._core import Tasks, Weighting
from metaaux.methods.reweighting._gradients import Gram, gram

__all__ = ["WEIGHTINGS", "Gram", "Tasks", "Weighting", "gram"]

WEIGHTINGS: Mapping[str, Callable[..., Weighting]] = {
  "uniform": uniform.make,
  "fixed": fixed.make,
  "arml": arml.make,
  "qp_ema": qp_ema.make,
  "adaloss": adaloss.make,
  "gradnorm": gradnorm.make,
  "cosine_similarity": cosine_similarity.make,
  "ol_aux": ol_aux.make,
  "uncertainty": uncertainty.make,
  "dwa": dwa.make,
  "rlw": rlw.make,
  "mgda": mgda.make,
  "cagrad": cagrad.make,
  "imtl": imtl.make,
  "pcgrad": pcgrad.make,
  "nash_mtl": nash_mtl.make,
  "auto_lambda": auto_lambda.make,
}
