"""The article's losses: sigmoid cross-entropy on logits, one-sided label smoothing, non-saturating
generator.

Goodfellow et al., "Generative Adversarial Nets" (2014), algorithm 1 and the non-saturating form
below its equation 1; smoothing: Salimans et al., "Improved Techniques for Training GANs" (2016),
section 3.4.
"""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor, smoothing: float) -> Tensor:
    """Mean cross-entropy of real images against 1 - smoothing, plus that of generated ones against
    0.
    """
    real_labels = torch.full_like(real_logits, 1.0 - smoothing)
    real = binary_cross_entropy_with_logits(real_logits, real_labels)
    fake = binary_cross_entropy_with_logits(fake_logits, torch.zeros_like(fake_logits))
    return real + fake


def generator_loss(fake_logits: Tensor) -> Tensor:
    """Mean cross-entropy of generated images against 1, not smoothed."""
    return binary_cross_entropy_with_logits(fake_logits, torch.ones_like(fake_logits))
