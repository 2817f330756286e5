"""An image generator behind a URL. In the repository this is the command alone, beside `app` and
`model`; an installed copy has those two inside.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from model.pretrained import PretrainedGenerator

__all__ = ("PretrainedGenerator", "__version__")

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "PretrainedGenerator":
        # when it is asked for: it needs PyTorch, which the command and the service do not
        from model.pretrained import PretrainedGenerator

        return PretrainedGenerator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
