"""The card of a classifier that has learnt from a few labels: README.md beside its file."""

from dataclasses import dataclass

from model.classification.config import ClassifierConfig
from model.training.classification.config import SUPERVISED
from model.training.run.card import DESCRIPTION, LICENCES

LISTED = 40  # classes
BAD_GAN = (
    'Dai et al., "Good Semi-supervised Learning that Requires a Bad GAN" (2017), prove that a '
    "generator of pictures like the real ones teaches the classifier nothing; one that matches "
    "features makes worse ones, which do"
)


@dataclass(frozen=True)
class About:
    """What the file does not say of its run."""

    method: str  # how it has learnt
    command: str = ""  # "": the run still goes on
    cost: str = ""
    description: str = ""  # what a person has to say of it


def method_of(objective: str, pictures: int) -> str:
    """Describes how a run of an objective has learnt from so many pictures."""
    if objective == SUPERVISED:
        return "It has learnt from its labelled pictures alone."
    return (
        f"It is the discriminator of a GAN: it has learnt to name its labelled pictures, and to "
        f"tell all {pictures:,} training pictures from generated ones. These training pictures, "
        "taken without label, contain the labelled ones. The generator matches the mean features "
        f"of real ones. {BAD_GAN}: this one's are to help here, not to be looked at."
    )


def classifier_card(config: ClassifierConfig, told: About) -> str:
    """Returns Markdown for people: what it tells apart, what it has learnt from and how, how often
    it is wrong, and what a person has to say of it.
    """
    licence = config.licence.strip().lower().replace(" ", "-")
    known = f"license: {licence}\n" if licence in LICENCES else ""
    description = f"{DESCRIPTION}\n\n{told.description}\n\n" if told.description else ""
    names = ", ".join(config.classes[:LISTED]) + ", ..." * (len(config.classes) > LISTED)
    colour = "RGB" if config.channels == 3 else "grey"
    seen = "all there were"
    if config.labels:
        seen = (
            f"{config.labels.pictures:,}, as many of each class, drawn by seed {config.labels.seed}"
        )
    made = (
        f"```\n{told.command}\n```\n\n{told.cost}\n\n"
        if told.command
        else ("A snapshot of a run that goes on; `export` writes a full card.\n\n")
    )
    real = (
        "\nIt also says how probable a picture is real and not generated: the logistic function of "
        "the logsumexp of its logits.\n"
        if config.real
        else ""
    )
    return f"""---
{known}library_name: ganserve
pipeline_tag: image-classification
tags:
- gan
- semi-supervised
---

# {config.name or config.data}: {title_of(config)}

| | |
| --- | --- |
| tells apart | {names} |
| pictures | {config.side}x{config.side} {colour}; others are resized |
| network | {config.layout}, hidden layers of {", ".join(map(str, config.widths))}; preset `{config.preset}` |
| weights | exponential moving average, float32 |
| labels seen | {seen} |
| trained on | {config.data}, {config.epochs} epochs, seed {config.seed} |
| SHA-256 of the pictures and labels | `{config.data_sha256}` |

{told.method}
{real}
{description}## How it was made

{made}The length of the run was chosen before it began, and its last average is this file: nothing was selected by held-out
pictures.

## How often it is wrong

{_quality(config)}
## Data and licence

{config.licence}

## Limits

It names one of its classes whatever it is shown, and may be sure of it.
"""


def title_of(config: ClassifierConfig) -> str:
    """Returns what kind of a classifier it is."""
    return (
        f"a classifier from {config.labels.pictures:,} labels" if config.labels else "a classifier"
    )


def _quality(config: ClassifierConfig) -> str:
    if not config.metrics:
        return "Not measured.\n"
    rows = "\n".join(f"| `{name}` | {value:.2%} |" for name, value in config.metrics.items())
    return f"""Each name holds its protocol: how many held-out pictures, and of which set; the value is the share of wrong answers.

| metric | value |
| --- | --- |
{rows}
"""
