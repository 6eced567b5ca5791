"""Keys of weighted auxiliary losses and of unlabelled images."""

from metaaux.config.keys import names
from metaaux.config.keys.key import Group, Key, group

# Options of one rule, or some; `rules.check_weighting_option` refuses them with
# another rule.
_RULE = "weighting.name"
_ARML = {_RULE: ("arml",)}
_TWO_STAGE = {"weighting.algorithm": ("two_stage",)}
_OF_VIEWS = ("pi_model", "mean_teacher", "pseudo_label")

_SETTING = {
  "setting": Key(
    "semi_supervised",
    "Says what the auxiliary tasks are.",
    choices=("semi_supervised", "attributes", "domains"),
    own_code=True,
  ),
  "primary_weight": Key(
    1.0,
    "Multiplies the primary loss; at 0 the primary task only guides the "
    "weights of the others.",
    low=0.0,
  ),
}

_WEIGHTING = {
  "name": Key(
    "arml",
    "Names the rule that sets the weights of auxiliary tasks.",
    choices=names.WEIGHTINGS,
    told_apart=False,
    own_code=True,
  ),
  "every": Key(
    0,
    "Counts the steps between two updates of the weights, the first at step "
    "every - 1; 0 takes the published number of the rule.",
    low=0,
  ),
  "until": Key(
    1.0,
    "Gives the share of the steps in which weights move.",
    low=0.0,
    high=1.0,
  ),
  "layer": Key(
    "auto",
    "Says which shared parameters the rule looks at; auto is the published "
    "choice.",
    choices=("auto", "all", "last"),
  ),
  "skip_step": Key(
    False,
    "Leaves out the step of the network at each 20th, or each weighting.every.",
  ),
  "values": Key(
    (),
    "Lists the weights of the rule fixed, one for each task.",
    low=0.0,
    item=float,
    when={_RULE: ("fixed",)},
  ),
  "eta": Key(
    0.0125, "Sets the rate of the weights of arml.", low=0.0, when=_ARML
  ),
  "eta_mode": Key(
    "absolute",
    "Says whether weighting.eta is divided by the squared norms of the "
    "gradients.",
    choices=("absolute", "relative"),
    when=_ARML,
  ),
  "projection": Key(
    "exact",
    "Names how weights get back onto the simplex; shift_clamp is that of the "
    "official code.",
    choices=("exact", "shift_clamp"),
    when=_ARML,
  ),
  "learning_rate": Key(
    0.0,
    "Sets the rate of the weights; 0 takes 0.025 (gradnorm), 0.0125 (ol_aux), "
    "1e-4 of Adam (auto_lambda) or 0.01 (uncertainty).",
    low=0.0,
    when={_RULE: ("gradnorm", "ol_aux", "uncertainty", "auto_lambda")},
  ),
  "gamma": Key(
    1.5,
    "Gives the exponent of gradnorm's target.",
    low=0.0,
    when={_RULE: ("gradnorm",)},
  ),
}

_OPTIONS = {
  "c": Key(
    0.5,
    "Bounds how far cagrad goes from the mean gradient.",
    low=0.0,
    when={_RULE: ("cagrad",)},
  ),
  "smallest": Key(
    0.0,
    "Gives the share that the primary weight counts as at least; 0 is 0.1 of "
    "mgda and no bound of the others.",
    low=0.0,
    high=0.99,
    when={_RULE: ("mgda", "imtl", "nash_mtl")},
  ),
  "with_primary": Key(
    False,
    "Gives the primary task a weight of the rule, too.",
    when={_RULE: ("uncertainty", "dwa")},
  ),
  "temperature": Key(
    2.0,
    "Makes the weights of dwa more equal the larger it is.",
    low=1e-6,
    when={_RULE: ("dwa",)},
  ),
  "horizon": Key(
    1,
    "Counts the updates that ol_aux sums before weights move.",
    low=1,
    when={_RULE: ("ol_aux",)},
  ),
  "project": Key(
    False,
    "Keeps the weights of ol_aux on the simplex.",
    when={_RULE: ("ol_aux",)},
  ),
  "kind": Key(
    "indicator",
    "Says whether cosine_similarity switches tasks or scales them.",
    choices=("indicator", "weighted"),
    when={_RULE: ("cosine_similarity",)},
  ),
  "decay": Key(
    0.95,
    "Gives the share that the averages of qp_ema keep.",
    low=0.0,
    high=0.9999,
    when={_RULE: ("qp_ema",)},
  ),
  "detach_target": Key(
    True,
    "Holds the target of gradnorm constant.",
    when={_RULE: ("gradnorm",)},
  ),
  "as_code": Key(
    False,
    "Computes gradnorm as the code of ARML does: without a shift of losses, "
    "and clamped last.",
    when={_RULE: ("gradnorm",)},
  ),
  "start": Key(
    0.1,
    "Gives the weights of auto_lambda before its first update.",
    low=0.0,
    when={_RULE: ("auto_lambda",)},
  ),
}

_TIMETABLE = {
  "epoch": Key(
    100, "Counts the steps of an epoch of dwa.", low=1, when={_RULE: ("dwa",)}
  ),
  "algorithm": Key(
    "merged",
    "Says whether weights and network move together, or weights first and with "
    "Langevin noise.",
    choices=("merged", "two_stage"),
  ),
  "share": Key(
    0.25,
    "Gives the share of the steps that the first stage takes.",
    low=0.0,
    high=1.0,
    when=_TWO_STAGE,
  ),
  "temperature": Key(
    0.0,
    "Scales the Langevin noise; 0 takes 1 / training images.",
    low=0.0,
    when=_TWO_STAGE,
  ),
}

_DOMAINS = {
  "batch_size": Key(
    0,
    "Counts the images of a batch of each source domain; 0 takes batch_size.",
    low=0,
  ),
  "adversarial_weight": Key(
    0.2,
    "Multiplies the loss that makes domains alike.",
    low=0.0,
    methods=("fada",),
  ),
  "hidden": Key(
    64,
    "Counts the hidden units of the pair discriminator.",
    low=1,
    methods=("fada",),
  ),
}

_CONSISTENCY = {
  "weight": Key(
    0.0,
    "Multiplies the loss of unlabelled images; 0 takes the published weight.",
    low=0.0,
  ),
  # Of the second view, beyond what `augment` does to both.
  "noise": Key(
    0.15,
    "Gives the standard deviation of noise on the second view.",
    low=0.0,
    methods=_OF_VIEWS,
  ),
  "flip": Key(
    True, "Mirrors the second view of images at random.", methods=_OF_VIEWS
  ),
  "ema": Key(
    0.95,
    "Bounds the share that the mean teacher keeps at a step.",
    low=0.0,
    high=1.0,
    methods=("mean_teacher",),
  ),
  "epsilon": Key(
    6.0,
    "Gives the length of vat's perturbation.",
    low=0.0,
    methods=("vat", "vat_entmin"),
  ),
  "entropy_weight": Key(
    0.06,
    "Multiplies the entropy of predictions.",
    low=0.0,
    methods=("vat_entmin",),
  ),
  "threshold": Key(
    0.95,
    "Gives the probability from which a prediction becomes a label.",
    low=0.0,
    high=1.0,
    methods=("pseudo_label",),
  ),
}

_OF_SETTING = {"setting": ("semi_supervised",)}
_SEMI_SUPERVISED = {
  "tasks": Key(
    ("rotation", "exemplar"),
    "Lists the auxiliary tasks; useless is a control, labels that say nothing.",
    choices=("rotation", "exemplar", "useless"),
    item=str,
    when=_OF_SETTING,
  ),
  "pool": Key(
    "all",
    "Says what the second half of a batch is drawn from: all training images, "
    "or those without labels.",
    choices=("all", "unlabelled"),
    methods=(*names.CONSISTENCY, "arml"),
  ),
  "useless_classes": Key(
    10, "Counts the classes of the task useless.", low=2, when=_OF_SETTING
  ),
  "flip": Key(
    True, "Mirrors the views of the task exemplar at random.", when=_OF_SETTING
  ),
  "exemplar_noise": Key(
    0.03,
    "Gives the deviation of noise on views of the task exemplar, in units of "
    "half the range of pixels.",
    low=0.0,
    when=_OF_SETTING,
  ),
  "flip_after_rotation": Key(
    False,
    "Mirrors images of the task rotation after turning.",
    when=_OF_SETTING,
  ),
}

_WEIGHTS = "Weights of auxiliary tasks"
GROUPS: tuple[Group, ...] = (
  group("Weighted auxiliary tasks", "", _SETTING, methods=names.WEIGHTED),
  group(_WEIGHTS, "weighting.", _WEIGHTING, methods=names.WEIGHTED),
  group(_WEIGHTS, "weighting.options.", _OPTIONS, methods=names.WEIGHTED),
  group(_WEIGHTS, "weighting.", _TIMETABLE, methods=names.WEIGHTED),
  group(
    "Source domains",
    "domains.",
    _DOMAINS,
    methods=names.WEIGHTED,
    when={"setting": ("domains",)},
  ),
  group(
    "Agreement on unlabelled images",
    "consistency.",
    _CONSISTENCY,
    methods=names.CONSISTENCY,
  ),
  group(
    "Few labels and many images",
    "semi_supervised.",
    _SEMI_SUPERVISED,
    methods=("arml",),
  ),
)
