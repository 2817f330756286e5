"""One step of the objectives `semi-supervised` and `supervised`: batches in, networks updated,
statistics out.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from model.training.classification.config import ClassifyConfig
from model.training.classification.networks import ClassifyNetworks
from model.training.task import Stats
from model.training.techniques.history import descend


@dataclass(frozen=True, kw_only=True)
class ClassifyBatch:
    """The input of one step, on the networks' device."""

    labelled: Tensor  # (N, C, H, W) in [-1, 1]
    labels: Tensor  # (N,)
    unlabelled: Tensor  # (N, C, H, W), for the classifier; none where it learns from labels alone
    matched: Tensor  # the same for each update of the generator, whose features it is to match
    rows: Tensor  # latents (N, z_dim) of the pictures that the classifier learns from
    generator_rows: Tensor  # latents of those that the generator learns from, as many as `matched`
    random: torch.Generator  # draws noise and dropout


def unsupervised_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Returns half the mean cross-entropy of real pictures against "real", plus the same of
    generated ones against "generated", where the logit of being real is the logsumexp of the class
    logits (N, classes).

    Salimans et al., "Improved Techniques for Training GANs" (2016), section 5, L_unsupervised, of
    which its code takes the half.
    """
    real = torch.logsumexp(real_logits, 1)
    fake = torch.logsumexp(fake_logits, 1)
    return 0.5 * (functional.softplus(-real).mean() + functional.softplus(fake).mean())


def matching_loss(real_features: Tensor, fake_features: Tensor, matching: str) -> Tensor:
    """Returns the mean square, or absolute value, of the difference of mean features (N, F).

    Salimans et al. (2016), section 3.1.
    """
    difference = real_features.mean(0) - fake_features.mean(0)
    return (difference.square() if matching == "square" else difference.abs()).mean()


def supervised_step(
    networks: ClassifyNetworks, batch: ClassifyBatch, config: ClassifyConfig, rate_share: float
) -> Stats:
    """Runs one step of the classifier alone. Returns the loss, from before the update."""
    _set_rates(networks, config, rate_share)
    classifier = networks.generator.classifier
    logits = classifier(batch.labelled, classifier.acting(), batch.random)
    loss = functional.cross_entropy(logits, batch.labels)
    descend(networks.classifier_optimizer, loss, networks.classifier_history)
    return {"loss_labelled": loss.detach()}


def semi_supervised_step(
    networks: ClassifyNetworks, batch: ClassifyBatch, config: ClassifyConfig, rate_share: float
) -> Stats:
    """Runs one step of the classifier, then the updates of the generator. Returns the losses, from
    before the first update of each.
    """
    _set_rates(networks, config, rate_share)
    classifier, generator = networks.generator.classifier, networks.generator.generator
    assert generator is not None
    assert networks.generator_optimizer is not None
    with torch.no_grad():
        fake = _drawn(networks, batch.rows, config)
    count = len(batch.labelled)
    images = torch.cat([batch.labelled, batch.unlabelled, fake])
    logits = classifier(images, classifier.acting(), batch.random)
    named, real, generated = logits[:count], logits[count : 2 * count], logits[2 * count :]
    labelled = functional.cross_entropy(named, batch.labels)
    unlabelled = unsupervised_loss(real, generated)
    descend(networks.classifier_optimizer, labelled + unlabelled, networks.classifier_history)

    losses = []
    with torch.no_grad():
        acting = classifier.acting()
    parts = torch.split(batch.matched, count), torch.split(batch.generator_rows, count)
    for matched, rows in zip(*parts, strict=True):
        with torch.no_grad():
            wanted = classifier.features(matched, acting, batch.random).float()
        found = classifier.features(_drawn(networks, rows, config), acting, batch.random)
        losses.append(matching_loss(wanted, found.float(), config.matching))
        descend(networks.generator_optimizer, losses[-1], networks.generator_history)
    return {
        "loss_labelled": labelled.detach(),
        "loss_unlabelled": unlabelled.detach(),
        "loss_g": losses[0].detach(),
        "d_real": torch.logsumexp(real.detach(), 1).mean(),
        "d_fake": torch.logsumexp(generated.detach(), 1).mean(),
    }


def _drawn(networks: ClassifyNetworks, rows: Tensor, config: ClassifyConfig) -> Tensor:
    """Generates pictures (N, C, side, side) by the statistics of their own batch."""
    generator = networks.generator.generator
    assert generator is not None
    with torch.autocast(rows.device.type, torch.bfloat16, enabled=config.bf16):
        images: Tensor = generator(rows)
    margin = (images.shape[2] - config.side) // 2
    return images[..., margin : margin + config.side, margin : margin + config.side].float()


def _set_rates(networks: ClassifyNetworks, config: ClassifyConfig, rate_share: float) -> None:
    for name, optimizer in networks.optimizers().items():
        for group in optimizer.param_groups:
            group["lr"] = rate_share * config.rates[name]
