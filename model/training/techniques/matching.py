"""Feature matching: the generator's loss that asks for the mean features of real pictures.

Salimans et al., "Improved Techniques for Training GANs" (2016), section 3.1.
"""

from torch import Tensor

from model.training.distributed import shared_mean, widened


def mean_features(features: Tensor) -> Tensor:
    """Returns the mean (F,) over the pictures of all processes, float32 at least, of (N, F)."""
    return shared_mean(features.to(widened(features)).mean(0))


def feature_matching_loss(wanted: Tensor, features: Tensor) -> Tensor:
    """Returns the squared distance of mean features, || E f(x) - E f(G(z)) ||^2, divided by their
    number; `wanted` (F,) is the mean of real pictures, `features` (N, F) are of generated ones.
    """
    return (wanted - mean_features(features)).square().mean()
