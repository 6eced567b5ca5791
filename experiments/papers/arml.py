"""Accuracies that the ARML paper prints (Shi et al. 2020).

In the form of `papers.meta_mtl`. The paper's semi-supervised table has errors;
here it is 100 minus these, with half of a 95% interval over three runs in the
note. The table of CelebA is not at hand.
"""

from .number import Published

ARML = "Shi et al. 2020"
CIFAR10, SVHN = "4,000 labels", "1,000 labels"

# Row as printed, method, error and its interval on CIFAR-10 and on SVHN.
_SEMI_SUPERVISED = (
  ("Supervised", "single", (20.26, 0.38), (12.83, 0.47)),
  ("Pi-model", "pi_model", (16.37, 0.63), (7.19, 0.27)),
  ("Mean Teacher", "mean_teacher", (15.87, 0.28), (5.65, 0.47)),
  ("VAT", "vat", (13.86, 0.27), (5.63, 0.20)),
  ("VAT + EntMin", "vat_entmin", (13.13, 0.39), (5.35, 0.19)),
  ("Pseudo-label", "pseudo_label", (17.78, 0.57), (7.62, 0.29)),
  ("S4L Uniform", "weights:uniform", (15.67, 0.29), (7.83, 0.33)),
  ("S4L + AdaLoss", "weights:adaloss", (21.06, 0.17), (11.53, 0.39)),
  ("S4L + GradNorm", "weights:gradnorm", (14.07, 0.44), (7.68, 0.13)),
  ("S4L + CosineSim", "weights:cosine_similarity", (15.03, 0.31), (7.02, 0.25)),
  ("S4L + OL_AUX", "weights:ol_aux", (16.07, 0.51), (7.82, 0.32)),
  ("S4L + GridSearch", "weights:fixed", (13.76, 0.22), (6.07, 0.17)),
  ("S4L + ARML", "arml", (13.68, 0.35), (5.89, 0.22)),
)
# Five labels of each class of the target domain: sketch, art painting, cartoon,
# photo.
_DOMAINS = ("sketch", "art_painting", "cartoon", "photo")
_PACS = (
  ("Baseline", "baseline", (75.34, 81.25, 77.35, 95.93)),
  ("JT", "weights:uniform", (78.52, 83.94, 81.36, 97.01)),
  ("FADA", "fada", (79.23, 83.64, 79.39, 97.07)),
  ("Baseline + ARML", "baseline:arml", (79.35, 82.52, 77.30, 95.99)),
  ("JT + ARML", "arml", (80.47, 85.70, 81.01, 97.22)),
  ("FADA + ARML", "fada:arml", (79.46, 85.16, 81.23, 97.01)),
)


def _number(
  table: str, row: str, column: str, method: str, value: float, **more: object
) -> Published:
  return Published(
    paper=ARML,
    table=table,
    row=row,
    column=column,
    metric="test accuracy (%)",
    value=round(value, 2),
    method=method,
    **more,
  )


PUBLISHED: tuple[Published, ...] = (
  *(
    _number(
      "semi-supervised table",
      row,
      column,
      method,
      100 - error,
      n=3,
      dataset=dataset,
      setting=column,
      note=f"± {half:.2f}",
    )
    for row, method, *errors in _SEMI_SUPERVISED
    for (error, half), dataset, column in zip(
      errors, ("cifar10", "svhncropped"), (CIFAR10, SVHN), strict=True
    )
  ),
  *(
    _number(
      "PACS table",
      row,
      domain,
      method,
      value,
      n=3,
      dataset="pacs",
      setting=f"{domain}, 5 labels",
      note="from an ImageNet network",
    )
    for row, method, values in _PACS
    for domain, value in zip(_DOMAINS, values, strict=True)
  ),
)
