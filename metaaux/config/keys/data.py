"""Keys that say what is trained and on which images."""

from metaaux.config.keys import names
from metaaux.config.keys.key import SET, Group, Key, group

_CLASSIFIED = (*names.LABELLED, *names.CLUSTERED)
# `data.domains` refuses the others, which would be without effect.
_UNDIVIDED = {"target_domain": ("",)}
_IN_TASKS = ("single", *names.SEVERAL_TASKS)

METHOD = group(
  "Method",
  "",
  {
    "method": Key(
      "maxl",
      "Names the method that trains.",
      choices=names.METHODS,
      told_apart=False,
      own_code=True,
    )
  },
)

_SOURCE = {
  "dataset": Key(
    "digits",
    "Names the data: digits, tfds:NAME, npz:PATH, folder:PATH or "
    "python:MODULE:FUNCTION.",
    column=1,
  ),
  "select": Key(
    "",
    "Keeps the images of one class, written LEVEL=CLASS such as "
    'alphabet=Greek; "" keeps all.',
    column=3,
  ),
  "shrink": Key(
    1,
    "Divides both sides of images by this factor, averaging blocks of pixels.",
    low=1,
    high=1000,
  ),
  "image_side": Key(
    0,
    "Resizes the middle square of images to this side in pixels; 0 leaves "
    "images as they are stored.",
    low=0,
    high=4096,
  ),
  "pixel_range": Key(
    (),
    "Gives the numbers that are black and white, such as 0,4095; () asks the "
    "images, where these leave one reading.",
    low=-1e12,
    high=1e12,
    item=float,
  ),
  "background": Key(
    128,
    "Gives the grey value, 0 to 255, that shows through transparent pixels.",
    low=0,
    high=255,
  ),
  "skip_broken": Key(
    False, "Leaves out image files that cannot be read, instead of ending."
  ),
  "hierarchy": Key(
    "",
    'Names a JSON file that adds label levels to the data; "" adds none.',
    column=2,
  ),
  "train_split": Key(
    "train",
    "Names the training images, or a part of them such as train[:90%].",
    column=9,
  ),
  "test_split": Key(
    "test", "Names the test images, or a part of them.", column=10
  ),
  "extra_test": Key(
    (),
    "Lists more data to test on; a source that is not at hand is skipped with "
    "a warning.",
    item=str,
    affects_result=False,
  ),
}

_LABELS = {
  "primary": Key(
    "",
    'Names the label level of the primary task; "" takes the coarsest one, '
    "and the finest one of several tasks.",
    column=4,
  ),
  "aux": Key(
    "",
    'Names the label level of the human auxiliary task; "" takes the finest '
    "one, unless psi is given.",
    methods=_CLASSIFIED,
    when=_UNDIVIDED,
  ),
  "task_classes": Key(
    (),
    "Lists the classes of each of several tasks, such as 0-4,5-9; () makes one "
    "task.",
    item=str,
    column=6,
    methods=_IN_TASKS,
  ),
  "task_domains": Key(
    (),
    "Lists the class of the level domain that each task takes its images from; "
    "() takes all images.",
    item=str,
    methods=_IN_TASKS,
    when={"task_classes": SET},
  ),
  "task_looks": Key(
    (),
    "Lists how the images of each task look: as they are, without colour, or "
    "at half the resolution; () changes none.",
    choices=("plain", "gray", "half"),
    item=str,
    methods=_IN_TASKS,
    when={"task_classes": SET},
  ),
  "big_per_class": Key(
    0,
    "Counts the images of a class in the big task; 0 takes all that no task "
    "has.",
    low=0,
    methods=_IN_TASKS,
    when={"task_classes": SET},
  ),
  "target_domain": Key(
    "",
    "Names the class of the level domain whose few labels are the primary "
    'task; "" does not divide by domains.',
    column=5,
  ),
  "within": Key(
    "",
    "Names a level whose class is known of each image, so that only its "
    'classes compete; "" lets all compete.',
    methods=("single",),
    when=_UNDIVIDED,
  ),
  "attributes": Key(
    (),
    "Lists label levels with two classes, or * for all such, of which one is "
    "primary and the others can be auxiliary tasks.",
    item=str,
    column=7,
    methods=names.ONE_TASK,
    when=_UNDIVIDED,
  ),
  "psi": Key(
    (),
    "Counts the auxiliary classes of each primary class, one number for each "
    "or one for all; () takes those of the data, or else 5.",
    low=1,
    item=int,
    methods=_CLASSIFIED,
    when=_UNDIVIDED,
  ),
  "labels_per_class": Key(
    0,
    "Counts the labelled training images of a primary class; 0 takes all.",
    low=0,
    column=11,
  ),
  "label_fraction": Key(
    0.0,
    "Gives the share of the training images that are labelled, in place of "
    "labels_per_class; 0 takes all.",
    low=0.0,
    high=1.0,
    column=8,
    methods=names.ONE_TASK,
    when=_UNDIVIDED,
  ),
  "meta_fraction": Key(
    0.0,
    "Gives the share of the labelled images that are held out for the outer "
    "update or to choose by; 0 holds none out.",
    low=0.0,
    high=0.9,
    methods=names.ONE_TASK,
    when=_UNDIVIDED,
  ),
  "meta_per_class": Key(
    0,
    "Counts the labelled images of a class that are held out besides "
    "labels_per_class; 0 holds none out.",
    low=0,
    methods=names.ONE_TASK,
    when=_UNDIVIDED,
  ),
}

_PIXELS = {
  "mean": Key(
    (0.5,),
    "Gives what is subtracted from pixels between 0 and 1, for all channels or "
    "for each; () measures it on the training images.",
    low=-1e6,
    high=1e6,
    item=float,
  ),
  "std": Key(
    (0.25,),
    "Gives what the difference is divided by; () measures it on the training "
    "images, if pixels.mean is () too.",
    low=-1e6,
    high=1e6,
    item=float,
  ),
}

_INPUTS = {
  "standardise": Key(
    True,
    "Brings each number of vectors to mean 0 and deviation 1, as measured on "
    "the training rows.",
  ),
}

_AUGMENT = {
  "pad": Key(
    0,
    "Pads each border by so many pixels before a crop is drawn.",
    low=0,
    high=1000,
  ),
  "shift": Key(
    0.0,
    "Gives the padding as a share of the shorter side, in place of "
    "augment.pad; 0 gives none.",
    low=0.0,
    high=0.5,
  ),
  "mode": Key(
    "zero",
    "Says what is padded: black, or the image reflected.",
    choices=("zero", "reflect"),
  ),
  "flip": Key(False, "Mirrors each image with probability one half."),
  "grayscale": Key(
    0.0,
    "Gives the probability that an image loses its colour.",
    low=0.0,
    high=1.0,
  ),
  "noise": Key(
    0.0,
    "Gives the standard deviation of noise, in units of normalised pixels.",
    low=0.0,
  ),
}

GROUPS: tuple[Group, ...] = (
  METHOD,
  group("Data", "", _SOURCE),
  group("Labels and tasks", "", _LABELS),
  group("Normalisation of pixels", "pixels.", _PIXELS),
  group("Vectors", "inputs.", _INPUTS),
  group("Augmentation of training images", "augment.", _AUGMENT),
)
