"""The peer of `benchmarks.step`: the same networks and steps in PyTorch.

Written as PyTorch users write them: NCHW, `nn.Module`, eager mode, and a
virtual step by `functional_call`.
"""

import functools
import sys

try:
  import torch
except ModuleNotFoundError:
  sys.exit("no torch: `pip install metaaux[bench]` installs the peer.")
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from benchmarks import Run, serve

BATCH = 32
PSI = (5,) * 20
STEP_SIZE = 0.01
ENTROPY_WEIGHT = 0.2


class VGG16(nn.Module):
  """VGG-16 with batch norm, one dense head for each entry of `heads`."""

  def __init__(self, *heads: int) -> None:
    super().__init__()
    layers, before = [], 3
    for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
      for _ in range(depth):
        layers += [
          nn.Conv2d(before, width, 3, padding=1),
          nn.BatchNorm2d(width),
          nn.ReLU(inplace=True),
        ]
        before = width
      layers.append(nn.MaxPool2d(2))
    self.trunk = nn.Sequential(*layers)
    self.heads = nn.ModuleList(
      nn.Sequential(nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, size))
      for size in heads
    )

  def forward(self, images: Tensor) -> list[Tensor]:
    """Logits of each head."""
    features = self.trunk(images).flatten(1)
    return [head(features) for head in self.heads]


def focal(logits: Tensor, soft: Tensor) -> Tensor:
  """Focal loss with soft labels, mean over the batch."""
  log_prob = functional.log_softmax(logits, dim=1)
  table = -((1 - log_prob.exp()) ** 2) * log_prob
  return (soft * table).sum(1).mean()


def _one_hot(labels: Tensor) -> Tensor:
  return functional.one_hot(labels, len(PSI)).float()


def _train_loss(logits: list[Tensor], labels: Tensor, soft: Tensor) -> Tensor:
  return focal(logits[0], _one_hot(labels)) + focal(logits[1], soft)


def forward() -> Run:
  """Logits of a batch, batch statistics, no gradient."""
  network = VGG16(len(PSI), sum(PSI))
  images = torch.randn(BATCH, 3, 32, 32)

  def run() -> None:
    with torch.no_grad():
      network(images)

  return run


def train() -> Run:
  """One SGD step of both tasks on given soft labels."""
  network = VGG16(len(PSI), sum(PSI))
  optimizer = torch.optim.SGD(network.parameters(), lr=STEP_SIZE)
  images = torch.randn(BATCH, 3, 32, 32)
  labels = torch.arange(BATCH) % len(PSI)
  soft = torch.softmax(torch.randn(BATCH, sum(PSI)), dim=1)

  def run() -> None:
    optimizer.zero_grad()
    _train_loss(network(images), labels, soft).backward()
    optimizer.step()

  return run


def meta(published: bool) -> Run:
  """One step of MAXL's label generator, through a virtual SGD step.

  Args:
    published: `.backward()` through everything, as the published code does,
      which also leaves gradients in the classifier; otherwise
      `torch.autograd.grad` for the generator's parameters alone.
  """
  network, generator = VGG16(len(PSI), sum(PSI)), VGG16(sum(PSI))
  optimizer = torch.optim.SGD(generator.parameters(), lr=STEP_SIZE)
  parameters = dict(network.named_parameters())
  images = torch.randn(BATCH, 3, 32, 32)
  labels = torch.arange(BATCH) % len(PSI)
  allowed = torch.repeat_interleave(_one_hot(labels), PSI[0], dim=1) > 0

  def run() -> None:
    network.zero_grad()
    optimizer.zero_grad()
    logits = generator(images)[0]
    soft = torch.softmax(torch.where(allowed, logits, -1e30), dim=1)
    inner = _train_loss(network(images), labels, soft)
    gradients = torch.autograd.grad(
      inner, list(parameters.values()), create_graph=True
    )
    ahead = {
      name: value - STEP_SIZE * gradient
      for (name, value), gradient in zip(
        parameters.items(), gradients, strict=True
      )
    }
    primary = functional_call(network, ahead, (images,))[0]
    mean = soft.mean(0)
    loss = (
      focal(primary, _one_hot(labels))
      + ENTROPY_WEIGHT * (mean * (mean + 1e-20).log()).sum()
    )
    if published:
      loss.backward()
    else:
      wanted = list(generator.parameters())
      for leaf, gradient in zip(
        wanted, torch.autograd.grad(loss, wanted), strict=True
      ):
        leaf.grad = gradient
    optimizer.step()

  return run


def convnet() -> Run:
  """One SGD step of the small network on 28x28 images, cross-entropy."""
  network = nn.Sequential(
    nn.Conv2d(1, 32, 5),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(32, 64, 4),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Linear(64 * 4 * 4, 128),
    nn.ReLU(),
    nn.Linear(128, 10),
  )
  optimizer = torch.optim.SGD(network.parameters(), lr=STEP_SIZE)
  images, labels = torch.randn(BATCH, 1, 28, 28), torch.arange(BATCH) % 10

  def run() -> None:
    optimizer.zero_grad()
    functional.cross_entropy(network(images), labels).backward()
    optimizer.step()

  return run


if __name__ == "__main__":
  serve(
    {
      "forward": forward,
      "train": train,
      "meta_backward": functools.partial(meta, published=True),
      "meta_grad": functools.partial(meta, published=False),
      "convnet": convnet,
    }
  )
