"""Which pictures are held out to measure with, by their names alone: the set's own part, or every
tenth.

    train/cat/1.png  val/cat/7.png  test/cat/8.png   ->  parts by their usual names, at any depth
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

HELD_OUT = 10  # where the source has no test part, every tenth picture (by sorted name) is one
Role = Literal["train", "validation", "test"]
# what folders of parts are called, alone or beside what all of them have: seg_train, Test Images
ROLES: dict[Role, str] = {
    "train": "train(?:ing)?",
    "validation": "val(?:id(?:ation)?)?|dev",
    "test": "test(?:ing)?|eval(?:uation)?",
}
_ROLE = re.compile(
    "(?<![a-z])(?:"
    + "|".join(f"(?P<{role}>{words})" for role, words in ROLES.items())
    + ")(?=set|data|images|imgs|pictures|[^a-z]|$)"
)


@dataclass(frozen=True)
class Parts:
    """A set's own parts."""

    roles: tuple[Role, ...]  # (N,)
    folders: tuple[str, ...]  # (N,), without that of the part; "" for none


def find_parts(names: Sequence[str]) -> Parts | None:
    """Finds the folders, at one depth of all pictures, that part a set into one to train with and
    others; None where there are none.
    """
    paths = [name.split("/")[:-1] for name in names]
    for depth in range(min(map(len, paths), default=0)):
        known = {folder: _role(folder) for folder in {path[depth] for path in paths}}
        found = [role for role in known.values() if role]
        if len(found) < len(known) or len({rest for _, rest in found}) > 1:
            continue
        if {"train"} < {role for role, _ in found}:
            roles = [role for path in paths if (role := known[path[depth]])]
            return Parts(tuple(role for role, _ in roles), _without(paths, depth))
    return None


def similar_to_parts(names: Sequence[str]) -> bool:
    """Checks whether some of the uppermost folders, but not all, have the names of parts."""
    roles = {role and role[0] for role in (_role(name.split("/")[0]) for name in names)}
    return {None, "train"} < roles


def every_tenth(count: int) -> NDArray[np.bool_]:
    """Marks every tenth picture."""
    held_out = np.zeros(count, bool)
    held_out[HELD_OUT - 1 :: HELD_OUT] = True
    return held_out


def deal(count: int, labels: NDArray[np.int64] | None) -> NDArray[np.bool_]:
    """Marks every tenth picture. Where that takes all pictures of a class, or passes most classes
    by, as it may where classes come in turns, every tenth class by class; then a class's only
    picture is never one of them.
    """
    held_out = every_tenth(count)
    if labels is None or not count:
        return held_out
    sizes = np.bincount(labels)
    taken = np.bincount(labels[held_out], minlength=len(sizes))
    passed_by = taken[sizes >= 2 * HELD_OUT] == 0
    if np.any((taken == sizes) & (sizes > 0)) or 2 * passed_by.sum() >= len(passed_by) > 0:
        order = np.argsort(labels, kind="stable")
        order = order[sizes[labels[order]] > 1]
        held_out = np.zeros(count, bool)
        held_out[order[HELD_OUT - 1 :: HELD_OUT]] = True
    return held_out


def _role(folder: str) -> tuple[Role, str] | None:
    """Returns which part a folder's name means, and what it holds beside letters of that."""
    small = folder.casefold()
    match = _ROLE.search(small)
    if match is None:
        return None
    role: Role = next(role for role in ROLES if match[role])
    rest = small[: match.start()] + small[match.end() :]
    return role, re.sub("[^a-z]", "", rest)


def _without(paths: Sequence[Sequence[str]], depth: int) -> tuple[str, ...]:
    """Returns the folders without those of parts, and without those around all of a part that
    repeat its name, as some archives have them.
    """
    rest = [list(path) for path in paths]
    repeats = Counter(path[depth] for path in rest if path[depth] in path[depth + 1 : depth + 2])
    sizes = Counter(path[depth] for path in rest)
    for path in rest:
        del path[depth : depth + (2 if repeats[path[depth]] == sizes[path[depth]] else 1)]
    return tuple("/".join(path) for path in rest)
