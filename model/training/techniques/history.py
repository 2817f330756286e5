"""Historical averaging: a weight that circles around a point is drawn towards it.

Salimans et al., "Improved Techniques for Training GANs" (2016), section 3.3.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

WEIGHT = 0.1  # factor of the term; the paper names none, and 1 holds weights where they began


class History(nn.Module):
    """The mean of a network's weights over all its updates: state, which checkpoints hold."""

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        super().__init__()
        self._watched = tuple(parameters)
        for place, parameter in enumerate(self._watched):
            self.register_buffer(f"mean_{place}", parameter.detach().clone())
        self.register_buffer("count", torch.ones((), dtype=torch.int64))

    def distance(self) -> Tensor:
        """Returns the term || theta - 1/t sum over i of theta[i] ||^2 of a loss."""
        pairs = zip(self._watched, self._means(), strict=True)
        return WEIGHT * torch.stack([(now - mean).square().sum() for now, mean in pairs]).sum()

    @torch.no_grad()
    def note(self) -> None:
        """Takes the weights after an update into the mean."""
        count = self.get_buffer("count").add_(1)
        for mean, now in zip(self._means(), self._watched, strict=True):
            mean.add_((now - mean) / count)

    def _means(self) -> list[Tensor]:
        return [self.get_buffer(f"mean_{place}") for place in range(len(self._watched))]


def descend(optimizer: torch.optim.Optimizer, loss: Tensor, history: History | None = None) -> None:
    """Takes one step of an optimiser along the gradients of a loss, and of the distance to a
    history, which notes the weights then.
    """
    optimizer.zero_grad()  # another's loss may have left some
    torch.autograd.backward(loss + history.distance() if history else loss)
    optimizer.step()
    optimizer.zero_grad()  # they take room until the next step
    if history:
        history.note()
