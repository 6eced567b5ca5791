"""Names of methods and of rules for task weights, and kinds of methods."""

# In the order of tables: baselines and controls before what is compared.
METHODS = (
  "logistic",
  "knn",
  "label_spreading",
  "single",
  "fine_tune",
  "self_training",
  "co_training",
  "pi_model",
  "mean_teacher",
  "vat",
  "vat_entmin",
  "pseudo_label",
  "pta",
  "joint",
  "uniform",
  "random",
  "frozen",
  "kmeans",
  "prototypical",
  "human",
  "no_entropy",
  "maxl",
  "meta_mtl",
  "fada",
  "arml",
  "separate",
  "hard_sharing",
  "cross_stitch",
  "nddr",
  "transfer",
  "damtl",
)

# In the order of tables; a test holds them to `methods.reweighting`.
WEIGHTINGS = (
  "uniform",
  "fixed",
  "rlw",
  "adaloss",
  "uncertainty",
  "dwa",
  "gradnorm",
  "cosine_similarity",
  "ol_aux",
  "mgda",
  "cagrad",
  "imtl",
  "pcgrad",
  "nash_mtl",
  "auto_lambda",
  "qp_ema",
  "arml",
)

# Kinds of methods that read the same keys.
FITTED = ("logistic", "knn", "label_spreading")
CONSISTENCY = ("pi_model", "mean_teacher", "vat", "vat_entmin", "pseudo_label")
BILEVEL = ("no_entropy", "maxl")
# Those that train on an auxiliary label beside the primary one.
LABELLED = (
  *("uniform", "random", "frozen", "kmeans", "prototypical", "human"),
  *BILEVEL,
)
CLUSTERED = ("joint", "meta_mtl")
EMBEDDED = ("fine_tune", "kmeans", "prototypical", *CLUSTERED)
WEIGHTED = ("fada", "arml")
STITCHED = ("cross_stitch", "nddr")
# Those that start from the network of a big task, and all of several tasks.
FROM_BIG_TASK = ("hard_sharing", *STITCHED, "transfer", "damtl")
SEVERAL_TASKS = ("separate", *FROM_BIG_TASK)
ONE_TASK = tuple(name for name in METHODS if name not in SEVERAL_TASKS)
# Those that train a network, step by step.
TRAINED = tuple(name for name in METHODS if name not in FITTED)
