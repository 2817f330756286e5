"""The model card: a generator file's README.md, from its config and what only the exporter knows."""

from collections.abc import Mapping

from model.generator_file import SAMPLES, GeneratorConfig

Figures = Mapping[str, float | int | list[int]]

# those of the Hub's identifiers that data is likely to have
LICENCES = (
    *("apache-2.0", "mit", "bsd-3-clause", "cc0-1.0", "odc-by", "pddl"),
    *(f"cc-by{terms}-{version}" for version in ("2.0", "3.0", "4.0") for terms in ("", "-sa")),
    *(f"cc-by-{terms}-{version}" for version in ("2.0", "3.0", "4.0") for terms in ("nc", "nc-sa")),
)

NAMED_CLASSES = 20


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


def model_card(config: GeneratorConfig, command: str, cost: str, samples: str) -> str:
    """Returns Markdown for people: what it draws, what it learnt from, how it was made and at what
    cost, how good it is.
    """
    network = config.network
    side, colour = config.crop, "grey" if network.channels == 1 else "RGB"
    normalised = network.has_batch_norm
    statistics = ", batch-norm statistics re-estimated" if normalised else ""
    return f"""{front_matter(config)}# {config.name}

![{samples}]({SAMPLES})

{samples}

| | |
| --- | --- |
| draws | {side}x{side} {colour} pictures{_of_classes(config)} |
| network | {network.family}, preset `{config.preset}`, z of {network.z_dim} values, {config.prior} prior |
| weights | exponential moving average of the generator{statistics}, {config.weights_dtype} |
| SHA-256 of the weights | `{config.weights_sha256}` |
| learnt from | {config.data.name}, part `{config.data.split}`, {config.data.images:,} pictures |
| images seen | {config.images_seen:,} ({config.images_seen / config.data.images:.1f} epochs) |

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

{_quality(config.metrics)}
## Limits

It draws what it has seen and nothing else; now and then it draws a shape that is no member of any class.
"""


def snapshot_card(preset: str, images_seen: int, metrics: Figures) -> str:
    """Returns Markdown for a generator of a run that still goes on."""
    quality = _quality(metrics) if metrics else "Not measured.\n"
    return (
        f"# {preset}\n\nA snapshot after {images_seen:,} images; `export` writes a full card.\n\n"
        f"{quality}"
    )


def _quality(metrics: Figures) -> str:
    rows = "\n".join(f"| `{name}` | {_shown(value)} |" for name, value in metrics.items())
    return f"""## Quality

Each name holds its protocol: the figure, the number of generated pictures, the real ones they are compared with, and
the network whose features are used, with the first digits of its hash. Only those through `inception` are FID and KID
as they are published.

| figure | value |
| --- | --- |
{rows}
"""


def _of_classes(config: GeneratorConfig) -> str:
    names = ", ".join(config.classes[:NAMED_CLASSES])
    more = ", ..." * (len(config.classes) > NAMED_CLASSES)
    return f" of {len(config.classes)} classes: {names}{more}" if config.classes else ""


def _shown(value: float | int | list[int]) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else f"{value:g}"
