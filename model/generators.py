"""A generator by its name: in the zoo, at a path, or at the Hugging Face Hub.

name -> its model folder, unchecked
"""

import importlib
from pathlib import Path

from model.generator_file import CONFIG, GeneratorFileError

ZOO = Path(__file__).parent / "zoo"  # the generators that ship
DEFAULT = "avatars-int8"  # the one of a service, and of `generate`, where none is named


def generator_folder(name: str, *beside: str) -> Path:
    """Returns where a model folder is: downloaded from the Hub, with the files `beside` where it
    has them, in the zoo, or at a path of ours.

    Raises:
        GeneratorFileError: the name is empty, or the Hub does not give it.
    """
    if not name.strip():
        raise GeneratorFileError(
            "the name of a generator is empty; a folder, a name in model/zoo or "
            "hf:owner/name@revision is wanted"
        )
    if name.startswith("hf:"):
        # imported by name: the Hub's library costs time and memory, and few hosts want it
        fetched: Path = importlib.import_module(".hub", __package__).fetch(name, *beside)
        return fetched
    return ZOO / name if (ZOO / name / CONFIG).is_file() else Path(name)
