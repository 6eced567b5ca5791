"""Every key of a config, with its default and meaning."""

from typing import Any


def _optimizer(learning_rate: float) -> dict[str, Any]:
  return {
    "name": "sgd",
    "learning_rate": learning_rate,
    "momentum": 0.0,
    "weight_decay": 0.0,  # L2, added to the gradient
    "l1": 0.0,  # times sign(params), added to the gradient
    "clip_norm": 0.0,  # 0: no clipping
    "schedule": "constant",
    "decay_every": 1000,  # steps; "step" multiplies by decay_factor each time
    "decay_factor": 0.5,
  }


def defaults() -> dict[str, Any]:
  """All keys, nested; what `config.base()` is made of."""
  return {
    **_run(),
    **_training(),
    **_clusters(),
    **_weighted(),
    **_several_tasks(),
  }


def _run() -> dict[str, Any]:
  return {
    "method": "maxl",
    # Data.
    "dataset": "digits",  # digits | tfds:NAME | npz:PATH | folder:PATH, ...
    "select": "",  # LEVEL=CLASS keeps one class, e.g. alphabet=Greek
    "shrink": 1,  # images become smaller by this factor, block by block
    "image_side": 0,  # middle square, resized to this side; 0: as stored
    # Numbers that are black and white, such as 0,4095; (): by what the images
    # hold, where that leaves one reading.
    "pixel_range": (),
    "background": 128,  # grey value, 0..255, under transparent pixels
    "skip_broken": False,  # image files that cannot be read are left out
    "hierarchy": "",  # JSON file that adds label levels to a data set
    "train_split": "train",  # also train[:90%]
    "test_split": "test",
    "extra_test": (),  # more sources to test on, skipped when not at hand
    "primary": "",  # label level of the primary task; "" chooses
    "aux": "",  # label level of the human auxiliary task
    "task_classes": (),  # several tasks: the classes of each, such as 0-4,5-9
    "task_domains": (),  # of the level "domain", one of each task; (): all
    "task_looks": (),  # plain | gray | half, of each task; (): plain
    "big_per_class": 0,  # images of the big task; 0: all that no task has
    "target_domain": "",  # of the level "domain": its few labels are primary
    "within": "",  # level whose class is known: only its classes compete
    # Levels whose classes are binary attributes, * for all that have two;
    # one of the attributes is `primary`, the others can be auxiliary tasks.
    "attributes": (),
    "psi": (),  # auxiliary classes of each primary class; one int: for each
    "labels_per_class": 0,  # training examples a primary class; 0: all
    "label_fraction": 0.0,  # or a share of all training examples; 0: all
    "meta_fraction": 0.0,  # share of them held out for the outer update
    # Labelled images of a class that are held out besides labels_per_class, for
    # the outer update or to choose by; the training images stay the same.
    "meta_per_class": 0,
    # Of training images.
    "augment": {
      "pad": 0,  # pixels at each border, from which a crop is drawn
      "shift": 0.0,  # instead of pad: as a share of the shorter side
      "mode": "zero",  # what is padded: zero (black) | reflect
      "flip": False,
      "grayscale": 0.0,  # probability of a grey image
      "noise": 0.0,  # standard deviation, of normalised pixels
    },
    # Runs.
    "seed": 0,
    "num_seeds": 1,  # seeds seed .. seed + num_seeds - 1
    "batch_size": 100,  # over all devices
    "num_steps": 1000,
    "log_every": 100,
    "eval_every": 500,  # 0: at the end only
    "eval_examples": 10000,  # of the train and meta splits; test is whole
    "average_last": 5,  # evaluations that the reported accuracy averages
    "checkpoint_every": 1000,  # 0: at the end only
    "keep_checkpoints": 2,  # newest; that of a trained embedding stays too
    # accuracy | loss: the best one stays too, by that metric of the images
    # that meta_fraction or meta_per_class holds out, never of the test set.
    "keep_best": "",
    "cache": "",  # folder of embeddings that runs share; "": the run's own
    "tensorboard": False,  # event files beside metrics.jsonl
    "parallel": "auto",
    # of images, auto: whole on every device | divide: a part on each, as auto
    # does with several hosts
    "pool": "auto",
    "seeds": "auto",
    "sync_batch_norm": True,
  }


def _training() -> dict[str, Any]:
  return {
    # Networks.
    "model": {
      "name": "convnet",
      "width": 1.0,
      "depth": 28,  # of a wide_resnet: 6 n + 4
      # Of its batch norm; statistics so slow need thousands of steps.
      "norm_momentum": 0.999,
      "norm_epsilon": 1e-3,
      "stem": "auto",  # of a resnet: imagenet | small
      "lowering": "auto",
      "widths": (32, 64),  # of a ConvNet; width multiplies them
      "kernels": (3, 3),
      "padding": "SAME",
      "hidden": 128,
      "batch_norm": False,
      "decoder": "hidden",  # a head; "linear" shares its hidden layer
      "dropout": 0.0,  # of the flattened features
      "block_dropout": 0.0,  # after each pooling
      "kernel_init": "glorot_uniform",
    },
    # Losses and updates.
    "gamma": 2.0,  # focal exponent; 0 is cross-entropy
    "auxiliary_weight": 1.0,
    "optimizer": _optimizer(0.1),
    "generator": {"optimizer": _optimizer(0.001)},
    "inner": {
      "learning_rate": 0.0,  # 0: the current rate of `optimizer`
      "num_steps": 1,
      "estimator": "exact",
    },
    "maxl": {
      "entropy_weight": 0.2,
      "entropy_mean": "batch",
      "centre_hypergradient": False,
      "inner_batch": "meta",
      "alternate_every": 0,  # 0: both updates in each step
      "meta_updates_statistics": False,
    },
  }


def _clusters() -> dict[str, Any]:
  return {
    # Auxiliary tasks made of clusters.
    "embedding": {
      # pixels | pca | spectral | acai | deepcluster | file
      "name": "spectral",
      "path": "",  # file: .npy or .npz with a vector for each training image
      "dim": 0,  # of pca (0: 64), spectral (20) and deepcluster (256)
      "whiten": False,  # pca
      "neighbours": 15,  # spectral: k of the graph
      "num_steps": 0,  # 0: 20 passes (acai), a pass an epoch (deepcluster)
      "batch_size": 64,
      "learning_rate": 0.0,  # 0: 1e-4 of Adam (acai), 0.05 (deepcluster)
      "width": 16,  # acai: channels of the first layers
      "latent": 0,  # acai: channels of the latent; 0: a third of the image
      "features": 512,  # deepcluster: last layer before the clusters
      "clusters": 0,  # deepcluster; 0: one for 20 images, at most 500
      "epochs": 20,  # deepcluster: clusterings
    },
    "partition": {
      "labels": "kmeans",
      "images": "all",  # that are clustered: all | train (labelled ones)
      "num_tasks": 4,  # T; of PTA: decoders
      "num_classes": 0,  # k; 0: as many as the primary task has
      "scaling": "uniform",  # of each task's copy of the embedding
      "restarts": 1,
    },
    "meta_mtl": {
      "variant": "paper_second_order",
      "tasks_per_step": 1,  # episodes, by whose mean gradient F moves
      "always_main": False,
      "decoder_learning_rate": 0.0,  # 0: inner.learning_rate
      # code_torch1 and code_torch2: of all their updates but the last, which
      # is by `optimizer`. All 0: plain SGD.
      "code_momentum": 0.0,
      "code_weight_decay": 0.0,  # L2, added to the gradient
      "code_clip_norm": 0.0,  # of each gradient, the main one's too; 0: none
    },
    "pseudo_labels": {"rounds": 5, "confidence": 0.95},
  }


def _weighted() -> dict[str, Any]:
  return {
    # Weighted auxiliary losses.
    # What the auxiliary tasks are; also MODULE:FUNCTION, as weighting.name.
    "setting": "semi_supervised",
    "primary_weight": 1.0,  # 0: the primary task only guides the weights
    "weighting": _weighting(),
    "domains": {
      "batch_size": 0,  # of each source domain; 0: batch_size
      # Of method "fada".
      "adversarial_weight": 0.2,
      "hidden": 64,  # width of the pair discriminator
    },
    # pi_model, mean_teacher, vat, vat_entmin and pseudo_label.
    "consistency": {
      "weight": 0.0,  # of the unlabelled images; 0: the published one
      # Of the second view, beyond what `augment` does to both.
      "noise": 0.15,  # deviation
      "flip": True,  # mirrored at random
      "ema": 0.95,  # highest decay of the mean teacher
      "epsilon": 6.0,  # length of vat's perturbation
      "entropy_weight": 0.06,  # of vat_entmin
      "threshold": 0.95,  # from which pseudo_label takes a label
    },
    "semi_supervised": {
      "tasks": ("rotation", "exemplar"),  # and useless
      # Second half of a batch: all | unlabelled; of pi_model .. too.
      "pool": "all",
      "useless_classes": 10,
      "flip": True,  # views of exemplar are mirrored
      "exemplar_noise": 0.03,  # deviation in terms of half the range
      "flip_after_rotation": False,
    },
  }


def _weighting() -> dict[str, Any]:
  return {
    "name": "arml",
    # Steps between two updates, the first at step every - 1; 0: as in the
    # papers.
    "every": 0,
    "until": 1.0,  # share of the steps in which weights move
    "layer": "auto",  # all | last: shared parameters that are looked at
    "skip_step": False,  # no step of the network at each 20th, or `every`
    "values": (),  # of "fixed", one for each task
    "eta": 0.0125,  # rate of arml
    "eta_mode": "absolute",  # relative: in terms of the gradients
    "projection": "exact",
    # Of gradnorm and ol_aux; 0: that of ARML's code, 0.05 on losses that it
    # halves, in our units: 0.025 and 0.0125. Of Adam in auto_lambda (0: 1e-4)
    # and of plain descent in uncertainty (0: 0.01).
    "learning_rate": 0.0,
    "gamma": 1.5,  # of gradnorm
    # Of one rule, or some; with another rule a value that is not the default
    # is an error.
    "options": {
      "c": 0.5,  # cagrad: how far from the mean gradient
      # mgda, imtl, nash_mtl: share that the primary weight counts as at
      # least, which bounds the others' sum by its inverse; 0: 0.1 of mgda,
      # no bound of the others.
      "smallest": 0.0,
      "with_primary": False,  # uncertainty, dwa: the primary task takes part
      "temperature": 2.0,  # dwa; the larger, the more equal
      "horizon": 1,  # ol_aux: updates that are summed before weights move
      "project": False,  # ol_aux: on the simplex
      "kind": "indicator",  # cosine_similarity: indicator | weighted
      "decay": 0.95,  # qp_ema: of the averages
      "detach_target": True,  # gradnorm: the target is constant
      "as_code": False,  # gradnorm: no shift, clamp last, as ARML's code
      "start": 0.1,  # auto_lambda: all weights before the first update
    },
    "epoch": 100,  # steps of an epoch of dwa
    "algorithm": "merged",  # two_stage: with Langevin noise
    "share": 0.25,  # two_stage: of the steps, for the first stage
    "temperature": 0.0,  # two_stage: of the noise; 0: 1 / images
  }


def _several_tasks() -> dict[str, Any]:
  return {
    "damtl": {
      "mask": "weight",  # filter: one for each output channel; none
      "align": "linear",  # kernel of the alignment: linear | rbf | none
      # per_task: copies of the auxiliary kernels | frozen: these themselves |
      # shared: one copy, which all tasks train
      "source": "per_task",
      # auxiliary | convolutions: random dense layers | random
      "start": "auxiliary",
      "task_weight": 0.01,  # alpha
      "sparsity": 0.9,  # lambda_1
      "alignment": 0.9,  # lambda_2
      # What of the auxiliary network a task is aligned with: crossfed, its
      # layers on the task's features | paired, its features of the same images
      # | twosample, of images of the big task.
      "pairing": "crossfed",
      "align_layer": "relu",  # affine: before the ReLU
      # Classes that means are taken of: own | random, the control: the number
      # of classes is the same, but an image's is drawn once and for all.
      "align_classes": "own",
      "stop_inputs": False,  # the alignment moves dense layers only
      "auxiliary_weight": 0.0,  # of the big task in the objective; 0: frozen
      "penalty": "mean",  # of a layer's mask: mean | sum
      "reduction": "sum",  # of the cross-entropy over a batch: sum | mean
      "mask_spread": 0.1,  # masks start in U(1 - spread, 1 + spread)
      "auxiliary_steps": 0,  # 0: num_steps
      "optimizer": _optimizer(0.01),  # of the auxiliary network
      # Of cross_stitch and nddr.
      "tower_steps": 0,  # each tower alone, before; 0: num_steps
      "unit_rate": 1.0,  # learning rate of the units, times the towers'
      "unit_channels": False,  # cross_stitch: a matrix for each channel
      "unit_norm": True,  # nddr: batch norm and ReLU after each unit
    },
  }
