"""The model card: README.md of a model folder, from its config and what only `export` knows."""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from model.generator_file import CARD, CONFIG, SAMPLES, GeneratorConfig
from model.training.run.run_folder import slug
from model.training.techniques.catalogue import VIRTUAL_BATCH_NORM

Metrics = Mapping[str, float | int | list[int]]

# those of the Hub's identifiers that data is likely to have
LICENCES = (
    *("apache-2.0", "mit", "bsd-3-clause", "cc0-1.0", "odc-by", "pddl"),
    *(f"cc-by{terms}-{version}" for version in ("2.0", "3.0", "4.0") for terms in ("", "-sa")),
    *(f"cc-by-{terms}-{version}" for version in ("2.0", "3.0", "4.0") for terms in ("nc", "nc-sa")),
)

NAMED_CLASSES = 20
# how a generator that was trained with virtual batch norm is served
STATISTICS = (
    "batch-norm statistics of the reference batch alone, which in training each picture's own had a "
    "small part in"
)
LONGEST_LICENCE = 2000  # characters
DESCRIPTION = "## Description"  # heading of what a person wrote


def front_matter(config: GeneratorConfig) -> str:
    """Returns the part of a card that the Hugging Face Hub reads, as YAML."""
    licence = config.licence.strip().lower().replace(" ", "-")
    known = [f"license: {licence}"] if licence in LICENCES else []
    tags = ["gan", config.network.family, "image-generation"]
    tags += ["class-conditional"] if config.classes else []
    lines = [
        *known,
        "library_name: ganserve",
        "pipeline_tag: unconditional-image-generation",
        "tags:",
        *(f"- {tag}" for tag in tags),
    ]
    return "\n".join(["---", *lines, "---", "", ""])


def description_of(card: str) -> str:
    """Returns the description that a person wrote into a card, "" where there is none."""
    found = re.search(rf"^{DESCRIPTION}\s*$(.*?)(?=^#|\Z)", card, re.MULTILINE | re.DOTALL)
    return found[1].strip() if found else ""


def written_by_people(folder: Path) -> dict[str, str]:
    """Reads what people may have written into the folder of a generator or a classifier, as far as
    it may be kept: name, licence, description; and the hash of a generator's weights.
    """
    fields: dict[str, str] = {}
    with suppress(OSError, ValueError):
        found = json.loads((folder / CONFIG).read_text())
        fields = {key: found[key] for key in ("name", "licence", "weights_sha256") if key in found}
    with suppress(OSError, ValueError):
        fields["description"] = description_of((folder / CARD).read_text())
    if slug(str(fields.get("name"))) != fields.get("name"):
        fields.pop("name", None)
    if len(str(fields.get("licence", ""))) > LONGEST_LICENCE:
        fields.pop("licence")
    return fields


def model_card(
    config: GeneratorConfig,
    command: str,
    cost: str,
    samples: str,
    description: str = "",
    techniques: Sequence[str] = (),
    beside: Metrics | None = None,
) -> str:
    """Returns Markdown for people: what it generates, what it was trained on, how it was made and
    at what cost, how good it is, and what a person has to say of it. `beside` are the metrics of
    the generator that an integer one was made of.
    """
    about = f"{DESCRIPTION}\n\n{description}\n\n" if description else ""
    network = config.network
    side, colour = config.crop, "grey" if network.channels == 1 else "RGB"
    normalised = network.has_batch_norm
    statistics = ", batch-norm statistics re-estimated" if normalised else ""
    if VIRTUAL_BATCH_NORM in techniques:
        statistics = f"; {STATISTICS}"
    weights = f"exponential moving average of the generator{statistics}, {config.weights_dtype}"
    if config.is_integer:
        weights = "8-bit integers: the same bytes on every machine"
    return f"""{front_matter(config)}# {config.name}

![{samples}]({SAMPLES})

{samples}

{about}| | |
| --- | --- |
| generates | {side}x{side} {colour} pictures{_of_classes(config)} |
| network | {network.family}, preset `{config.preset}`, z of {network.z_dim} values, {config.prior} prior |
| weights | {weights} |
| SHA-256 of the weights | `{config.weights_sha256}` |
| trained on | {config.data.name}, part `{config.data.split}`, {config.data.images:,} pictures |
| images seen | {config.images_seen:,} ({config.images_seen / config.data.images:.1f} epochs) |
{_of_techniques(techniques)}
## Use it

```python
from ganserve import PretrainedGenerator

generator = PretrainedGenerator.from_pretrained(".")  # this folder, or owner/name at the Hub
pixels = generator.generate(range(16))  # (16, {side}, {side}, {network.channels}) uint8
```

## Data and licence

{config.licence}
SHA-256 of the pictures and labels as read: `{config.data.sha256}`.

## How it was made

```
{command}
```

{cost}

{_quality(config.metrics, beside)}
## Limits

It generates what it has seen and nothing else; now and then a shape that belongs to no class.
"""


def snapshot_card(
    preset: str, images_seen: int, metrics: Metrics, techniques: Sequence[str] = ()
) -> str:
    """Returns Markdown for a generator of a run that still goes on."""
    with_them = f" with {', '.join(techniques)}" if techniques else ""
    return (
        f"# {preset}{with_them}\n\nA snapshot after {images_seen:,} images; `export` writes a full "
        f"card.\n\n{_quality(metrics)}"
    )


def _of_techniques(techniques: Sequence[str]) -> str:
    return f"| techniques | {', '.join(techniques)} |\n" if techniques else ""


def _quality(metrics: Metrics, beside: Metrics | None = None) -> str:
    if not metrics:
        return "## Quality\n\nNot measured.\n"
    rows = "\n".join(f"| `{name}` | {_shown(value)} |" for name, value in metrics.items())
    head = "| metric | value |\n| --- | --- |"
    if beside:
        head = "| metric | value | of the generator in floats |\n| --- | --- | --- |"
        rows = "\n".join(
            f"| `{name}` | {_shown(value)} | {_shown(beside[name]) if name in beside else ''} |"
            for name, value in metrics.items()
        )
    return f"""## Quality

Each name holds its protocol: the metric, the number of generated pictures, the real ones they are compared with, and
the network whose features are used, with the first digits of its hash. Only those through `inception` are FID and KID
as they are published.

{head}
{rows}
"""


def _of_classes(config: GeneratorConfig) -> str:
    names = ", ".join(config.classes[:NAMED_CLASSES])
    more = ", ..." * (len(config.classes) > NAMED_CLASSES)
    return f" of {len(config.classes)} classes: {names}{more}" if config.classes else ""


def _shown(value: float | int | list[int]) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else f"{value:g}"
