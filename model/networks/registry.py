"""Families of networks by name: each module of `families` has the configuration of one."""

import importlib
import pkgutil
from dataclasses import fields as dataclass_fields
from types import ModuleType
from typing import Any

from model.networks import families
from model.networks.config import NetworkConfig


def find_families(package: ModuleType) -> dict[str, type[NetworkConfig]]:
    """Collects `FAMILY`, a configuration, of every module of a package, by the family's name."""
    names = [module.name for module in pkgutil.iter_modules(package.__path__)]
    configs = [importlib.import_module(f"{package.__name__}.{name}").FAMILY for name in names]
    return {config.family: config for config in configs}


FAMILIES = find_families(families)


def network_to_dict(config: NetworkConfig) -> dict[str, Any]:
    """Returns the form that travels in files: the fields and the family's name."""
    names = [field.name for field in dataclass_fields(config) if field.init]
    return {"family": config.family} | {name: getattr(config, name) for name in names}


def network_from_dict(fields: dict[str, Any]) -> NetworkConfig:
    """Inverts `network_to_dict`.

    Raises:
        ValueError: an unknown family, an unknown or missing field, or a value out of its range.
    """
    fields = dict(fields)
    family = fields.pop("family", None)
    if not isinstance(family, str) or family not in FAMILIES:
        raise ValueError(f"family is {family!r}; known: {', '.join(map(repr, FAMILIES))}")
    config = FAMILIES[family]
    known = [field.name for field in dataclass_fields(config) if field.init]
    for name, value in fields.items():
        if name not in known:
            raise ValueError(f"unknown field {name!r}; known: {', '.join(known)}")
        if type(value) is not int:
            raise ValueError(f"{name} is {value!r}; a whole number is wanted")
    missing = set(known) - fields.keys()
    if missing:
        raise ValueError(f"missing field {min(missing)!r}")
    return config(**fields)
