"""Losses and penalties, each with its paper and equation. Logits are (N,), every loss is a mean.

DCGAN article: sigmoid cross-entropy, one-sided label smoothing, non-saturating generator.
Modern presets: relativistic pairing with zero-centred penalties. SNGAN and SAGAN: hinge.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, relu, softplus


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor, smoothing: float) -> Tensor:
    """Returns the mean cross-entropy of real images against 1 - smoothing, plus that of generated
    ones against 0.

    Goodfellow et al., "Generative Adversarial Nets" (2014), algorithm 1; smoothing: Salimans et
    al., "Improved Techniques for Training GANs" (2016), section 3.4.
    """
    real_labels = torch.full_like(real_logits, 1.0 - smoothing)
    real = binary_cross_entropy_with_logits(real_logits, real_labels)
    fake = binary_cross_entropy_with_logits(fake_logits, torch.zeros_like(fake_logits))
    return real + fake


def generator_loss(fake_logits: Tensor) -> Tensor:
    """Returns the mean cross-entropy of generated images against 1, not smoothed.

    Goodfellow et al. (2014), the non-saturating form below equation 1.
    """
    return binary_cross_entropy_with_logits(fake_logits, torch.ones_like(fake_logits))


def relativistic_loss(winners: Tensor, losers: Tensor) -> Tensor:
    """Returns the mean softplus(losers - winners), in pairs: real ones are to win for the
    discriminator, generated ones for the generator.

    Jolicoeur-Martineau, "The relativistic discriminator" (2018); as Huang et al., "The GAN is dead;
    long live the GAN!" (R3GAN, 2024), equation 2.
    """
    return softplus(losers - winners).mean()


def zero_centred_penalty(logits: Tensor, inputs: Sequence[Tensor]) -> Tensor:
    """Returns half the mean squared length of each logit's gradient at its inputs (N, C, H, W),
    which should be float32: R1 of real images, R2 of generated ones, or of their maps. `inputs`
    must be part of the logits' graph.

    Mescheder et al., "Which Training Methods for GANs do actually Converge?" (2018), equation 9;
    Huang et al. (2024), equation 3.
    """
    gradients = torch.autograd.grad(logits.sum(), inputs, create_graph=True)
    lengths = [gradient.square().sum(dim=(1, 2, 3)).mean() for gradient in gradients]
    return 0.5 * torch.stack(lengths).sum()


def hinge_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Returns the mean of what real logits lack to 1, plus that by which generated ones exceed -1.

    Lim and Ye, "Geometric GAN" (2017); Miyato et al., "Spectral Normalization" (2018), equation 16.
    """
    return relu(1.0 - real_logits).mean() + relu(1.0 + fake_logits).mean()


def hinge_generator_loss(fake_logits: Tensor) -> Tensor:
    """Returns minus the mean logit of generated images. Miyato et al. (2018), equation 17."""
    return -fake_logits.mean()
