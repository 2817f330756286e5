"""What a change of classes does to trained networks: columns go by the classes' names.

tensors, the names that they know, the new names -> tensors
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

Tensors = dict[str, Tensor]
LOGIT = "logit.weight"  # ends the name of what is compared with the class


def with_inputs(
    weights: Tensors, z_dim: int, names: Sequence[str], classes: Sequence[str]
) -> Tensors:
    """Gives the generator's tensors the inputs of other classes; without any, the mean class's."""
    for layer in ("code", "dense"):
        if (weight := weights.get(f"{layer}.weight")) is None:
            continue
        latent, columns = weight[:, :z_dim], weight[:, z_dim:]
        weights[f"{layer}.weight"] = torch.cat([latent, _columns(columns, names, classes)], 1)
        if names and not classes:
            weights[f"{layer}.bias"] = weights[f"{layer}.bias"] + columns.mean(1)
    return weights


def _columns(columns: Tensor, names: Sequence[str], classes: Sequence[str]) -> Tensor:
    """Returns a column a class: its own where the file has it, else the mean of all, else zeros."""
    mean = columns.mean(1) if names else columns.new_zeros(len(columns))
    chosen = [columns[:, names.index(name)] if name in names else mean for name in classes]
    return torch.stack(chosen, 1) if chosen else columns[:, :0]


def with_comparisons(
    tensors: Tensors, fresh: Tensors, names: Sequence[str], classes: Sequence[str]
) -> Tensors:
    """Adapts a discriminator's or its heads' tensors to other classes: the logits of those of the
    same name stay, without any they are the mean class's, and where there were none all classes
    begin with the one logit; what then tells them apart comes from an untrained network's `fresh`
    tensors.
    """
    tensors = dict(tensors)
    for name in [name for name in tensors if name.endswith(LOGIT)]:
        _compare(tensors, name.removesuffix(LOGIT), fresh, names, classes)
    return tensors


def _compare(
    tensors: Tensors, prefix: str, fresh: Tensors, names: Sequence[str], classes: Sequence[str]
) -> None:
    parts = [f"{prefix}{LOGIT}", f"{prefix}logit.bias"]
    weight, bias = f"{prefix}classes.weight", f"{prefix}classes.bias"
    if names and classes:
        tensors[weight] = _columns(tensors[weight], names, classes)
    elif names:
        mean = tensors.pop(weight).mean(1)
        mean = mean + tensors.pop(bias) if bias in tensors else mean
        for part in filter(tensors.__contains__, parts):
            scaled = mean / math.sqrt(len(mean))
            tensors[part] = torch.tensordot(scaled, tensors[part], 1)[None]
    elif classes:
        for part in filter(tensors.__contains__, parts):  # at first only the first value counts
            tensors[part] = torch.cat([tensors[part], torch.zeros_like(fresh[part][1:])])
        tensors[weight] = fresh[weight].clone()
        tensors[weight][0] = math.sqrt(len(fresh[weight]))
        if bias in fresh:
            tensors[bias] = fresh[bias].clone()
            tensors[bias][0] = 0.0
