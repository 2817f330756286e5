"""What a classifier is and where it comes from, without the network: serving asks where torch is
not installed.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from model.files import Fields
from model.generator_file import MAX_CLASS_NAME, check_classes

MAX_PARTS = 10_000  # layers of all slots together
MAX_WIDTH, MAX_LAYERS = 8192, 16
LEAST_SIDE, LARGEST_SIDE = 8, 1024  # pixels

# how many widths a layout has, where not none; None: any number
WIDTHS: dict[str, int | None] = {"mlp": None, "convolutional": 2}

Kind = Literal["classifier", "parts", "selfsup"]
Share = Annotated[float, Field(ge=0, le=1)]
Width = Annotated[int, Field(ge=1, le=MAX_WIDTH)]
Slot = Annotated[str, Field(min_length=1, max_length=MAX_CLASS_NAME + 8)]


class Labelled(Fields):
    """How many labelled pictures it has learnt from, and which: those that a seed draws."""

    pictures: Annotated[int, Field(ge=1)]
    seed: Annotated[int, Field(ge=0, lt=2**32)]


class ClassifierConfig(Fields):
    """Shape and origin of a classifier; travels in its config.json. Without classes, it is a
    feature network that was trained without labels.
    """

    name: Annotated[str, Field(pattern="^([a-z0-9][a-z0-9_-]{0,63})?$")] = ""  # empty: its folder's
    side: Annotated[int, Field(ge=LEAST_SIDE, le=LARGEST_SIDE)]  # pixels per side
    channels: Literal[1, 3]
    classes: tuple[str, ...]  # names, in the order of its logits
    data: Annotated[str, Field(max_length=2000)]
    data_sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")]
    epochs: Annotated[int, Field(ge=0)]
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    # share of the test pictures whose class it names; without classes, whose damage
    test_accuracy: Share = 0.0
    layout: Literal["dense", "folded", "mlp", "convolutional"] = (
        "dense"  # the first one, of files that do not say
    )
    # values, or channels, of hidden layers, where the layout leaves them open
    widths: Annotated[tuple[Width, ...], Field(max_length=MAX_LAYERS)] = ()
    parts: dict[Slot, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict
    )  # layers that it tells apart, by slot
    part_accuracy: dict[Slot, Share] = Field(default_factory=dict)  # share of each that it names
    preset: Annotated[str, Field(max_length=64)] = ""  # empty: what `evaluate` learns
    labels: Labelled | None = None  # None: all there were
    # whether it also tells real pictures from generated ones, see `probability_real`
    real: bool = False
    metrics: dict[str, Annotated[float, Field(allow_inf_nan=False)]] = Field(
        default_factory=dict
    )  # by name, which holds its protocol
    licence: Annotated[str, Field(max_length=2000)] = "Not stated."  # the data's

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_classes(self.classes)
        if (wanted := WIDTHS.get(self.layout, 0)) is not None and len(self.widths) != wanted:
            raise ValueError(f"{len(self.widths)} widths; layout {self.layout} has {wanted}")
        if self.layout in WIDTHS and not self.classes:
            raise ValueError(f"layout {self.layout} tells classes apart, and there are none")
        if sum(self.parts.values()) > MAX_PARTS:
            raise ValueError(f"more than {MAX_PARTS:,} parts")
        if self.real and not self.classes:
            raise ValueError("real is told from the logits of classes, and there are none")
        return self

    @property
    def kind(self) -> Kind:
        """What a metric's name calls it."""
        if self.parts:
            return "parts"
        return "classifier" if self.classes else "selfsup"
