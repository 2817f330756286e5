"""dataset.json, as StyleGAN's tools write it: which picture is of which class, and here also the
classes' names and the test part.

    {"labels": [["a.png", 0], ...], "classes": ["cat", ...], "test": ["a.png", ...]}
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unicodedata import normalize

from model.networks.config import MAX_CLASSES
from model.training.datasets.file_listing import DataError, printable


@dataclass(frozen=True)
class Listed:
    """What a dataset.json says of the files that are there."""

    labels: dict[str, int] | None  # by file; None: there are none
    classes: tuple[str, ...]  # their names; none: no names are given
    test: frozenset[str] | None  # files of the test part; None: every tenth
    missing: tuple[str, ...]  # files that it names, but that are not there


def read_listed(content: bytes, path: Path, names: Sequence[str]) -> Listed:
    """Parses a dataset.json beside files of these names; `"labels": null` means no classes.

    Another system's spelling of a name is that name: backslashes, Unicode NFD.

    Raises:
        DataError: it is no such JSON, or gives a label outside the range, or a file two.
    """
    try:
        rows, classes, test = _fields(json.loads(content))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DataError(f'{path}: {{"labels": [["a.png", 0], ...]}} is wanted') from None
    known = _Names(names)
    labels: dict[str, int] = {}
    for listed, label in rows or ():
        if type(label) is not int or not 0 <= label < MAX_CLASSES:
            raise DataError(
                f"{path}: the label of {printable(listed)} is {str(label)[:100]}; a whole number "
                f"from 0 to {MAX_CLASSES - 1} is wanted"
            )
        name = known.find(listed)
        if labels.setdefault(name, label) != label:
            raise DataError(f"{path}: two labels for {printable(name)}: {labels[name]}, {label}")
    return Listed(
        labels=None if rows is None else labels,
        classes=tuple(normalize("NFC", str(name)) for name in classes),
        test=None if test is None else frozenset(map(known.find, test)),
        missing=tuple(sorted(known.missing)),
    )


def _fields(index: Any) -> tuple[list[tuple[str, Any]] | None, list[Any], list[str] | None]:
    """Returns rows of labels, classes and the test part; raises one of several errors."""
    found, classes, test = index["labels"], index.get("classes") or [], index.get("test")
    rows = found.items() if isinstance(found, dict) else found or ()
    rows = [(name, label) for name, label in rows]
    names = [*(test or ()), *(name for name, _ in rows)]
    lists = isinstance(classes, list) and isinstance(test or [], list)
    if not lists or not all(isinstance(name, str) for name in names):
        raise TypeError
    return None if found is None else rows, classes, test


class _Names:
    """Finds files by their names in any spelling; collects those that are not there."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = set(names)
        self._spelled = {normalize("NFC", name): name for name in names}
        self.missing: set[str] = set()

    def find(self, listed: str) -> str:
        if listed in self._names:
            return listed
        spelled = normalize("NFC", listed.replace("\\", "/")).removeprefix("./")
        if spelled not in self._spelled:
            self.missing.add(listed)
        return self._spelled.get(spelled, listed)
