"""The networks of a classifier's run: the classifier, which is the discriminator, and a generator;
with their averages and optimisers.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.latent_space.latents import Prior
from model.networks.pytorch import Generator, new_generator
from model.training import ema
from model.training.classification.config import ClassifyConfig
from model.training.classification.discriminators import (
    Discriminator,
    NormedDense,
    new_discriminator,
)
from model.training.task import Adam, Learning
from model.training.techniques.catalogue import HISTORICAL_AVERAGING, VIRTUAL_BATCH_NORM
from model.training.techniques.history import History
from model.training.techniques.reference_batch import normalise_by_reference, reference_rows


class Pair(nn.Module):
    """A classifier, and a generator unless it learns from labels alone."""

    def __init__(self, classifier: Discriminator, generator: Generator | None) -> None:
        super().__init__()
        self.classifier = classifier
        self.generator = generator


@dataclass
class ClassifyNetworks(Learning):
    """Holds what a checkpoint does: both networks, their averages and optimisers, and the means of
    all past weights where there are such.
    """

    generator: Pair
    generator_ema: Pair
    classifier_optimizer: torch.optim.Optimizer
    generator_optimizer: torch.optim.Optimizer | None
    classifier_history: History | None = None
    generator_history: History | None = None

    @property
    def learners(self) -> tuple[nn.Module, ...]:
        """The networks that learn."""
        return (self.generator,)

    def modules(self) -> dict[str, nn.Module]:
        """Returns both networks, their averages and the means, by name."""
        found: dict[str, nn.Module | None] = {
            "players": self.generator,
            "average": self.generator_ema,
            "classifier_history": self.classifier_history,
            "generator_history": self.generator_history,
        }
        return {name: network for name, network in found.items() if network is not None}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Returns every optimiser, by name."""
        found = {"classifier_optimizer": self.classifier_optimizer}
        if self.generator_optimizer:
            found["generator_optimizer"] = self.generator_optimizer
        return found


def new_classify_networks(
    config: ClassifyConfig, classes: int, device: torch.device, seed: int, examples: Tensor
) -> ClassifyNetworks:
    """Makes the networks before their first step, the same for the same seed; the classifier is
    fitted to `examples` (N, C, H, W).
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        classifier = new_discriminator(config, classes).to(device)
        classifier.start(examples, torch.Generator(device).manual_seed(seed))
        generator = None
        if not config.supervised:
            generator = normed(new_generator(config.network)).to(device)
    if generator and VIRTUAL_BATCH_NORM in config.techniques:
        rows = reference_rows(config.network, config.prior)
        normalise_by_reference(generator, torch.from_numpy(rows).to(device))
    averaged = HISTORICAL_AVERAGING in config.techniques

    def adam(network: nn.Module, name: str) -> torch.optim.Optimizer:
        learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
        rate, betas = config.rates[name], config.betas
        return Adam(learning, rate, betas, config.epsilon, fused=True)

    pair = Pair(classifier, generator)
    return ClassifyNetworks(
        generator=pair,
        generator_ema=ema.slow_copy(pair),
        classifier_optimizer=adam(classifier, "classifier_optimizer"),
        generator_optimizer=adam(generator, "generator_optimizer") if generator else None,
        classifier_history=History(classifier.parameters()) if averaged else None,
        generator_history=History(generator.parameters()) if averaged and generator else None,
    )


def normed(generator: Generator) -> Generator:
    """Gives the dense layer of a generator's pixels, where it ends in one, a weight with a norm of
    its own.
    """
    dense = getattr(generator, "pixels", None)
    if isinstance(dense, nn.Linear):
        generator.pixels = NormedDense(dense.out_features, dense.in_features, std=1.0, learnt=True)
        generator.pixels.direction.data.copy_(dense.weight)
    return generator


def served_generator(average: Generator, prior: Prior) -> Generator:
    """Makes the generator that a model folder holds of an average, in inference mode."""
    generator = ema.with_own_statistics(average, prior)
    dense = getattr(generator, "pixels", None)
    if not isinstance(dense, NormedDense):
        return generator
    served = new_generator(generator.config)
    tensors = generator.state_dict() | {"pixels.weight": dense.weight.detach()}
    served.load_state_dict({name: tensors[name] for name in served.state_dict()})
    return served.eval()
