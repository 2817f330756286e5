"""Classifiers by name: those that ship, and folders.

name -> its folder, unchecked; data sets -> the classifiers of them that ship
"""

from collections.abc import Sequence
from pathlib import Path

from model.classification.classifier_file import ClassifierFile, read_classifier
from model.generator_file import CONFIG

SHIPPED_CLASSIFIERS = Path(__file__).parent.parent / "training" / "classifiers"


def classifier_folder(name: str) -> Path:
    """Returns where a classifier is: among those that ship, or at a path of ours."""
    shipped = SHIPPED_CLASSIFIERS / name
    return shipped if (shipped / CONFIG).is_file() else Path(name)


def shipped_classifiers(sets: Sequence[str]) -> list[ClassifierFile]:
    """Reads those that ship and name the classes of these data sets, by the SHA-256 of each, in
    their order.

    Raises:
        GeneratorFileError: one is damaged.
    """
    files = [read_classifier(folder) for folder in sorted(SHIPPED_CLASSIFIERS.glob("*/"))]
    named = {file.config.data_sha256: file for file in files if file.config.kind == "classifier"}
    return [named[sha256] for sha256 in dict.fromkeys(sets) if sha256 in named]
