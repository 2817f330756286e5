"""The model card: a generator file's README.md, from its config and what only the exporter knows."""

from model.generator_file import GeneratorConfig

SAMPLES = "samples.png"


def model_card(config: GeneratorConfig, command: str, samples: str) -> str:
    """Markdown for people: what it draws, what it learnt from, how it was made, how good it is."""
    network = config.network
    side, colour = config.crop, "grey" if network.channels == 1 else "RGB"
    metrics = "\n".join(f"| `{name}` | {_shown(value)} |" for name, value in config.metrics.items())
    return f"""# {config.name}

![{samples}]({SAMPLES})

{samples}

| | |
| --- | --- |
| draws | {side}x{side} {colour} pictures |
| network | {network.family}, preset `{config.preset}`, z of {network.z_dim} values, {config.prior} prior |
| weights | exponential moving average of the generator, batch-norm statistics re-estimated, {config.weights_dtype} |
| SHA-256 of the weights | `{config.weights_sha256}` |
| learnt from | {config.data.name}, part `{config.data.split}`, {config.data.images:,} pictures |
| images seen | {config.images_seen:,} ({config.images_seen / config.data.images:.1f} epochs) |

## Data and licence

{config.licence}
SHA-256 of the pictures and labels as read: `{config.data.sha256}`.

## How it was made

```
{command}
```

## Quality

Each name holds its protocol: the figure, the number of generated pictures, the real ones they are compared with, and
the network whose features are used, with the first digits of its hash. Only those through `inception` are FID and KID
as they are published.

| figure | value |
| --- | --- |
{metrics}

## Limits

It draws what it has seen and nothing else; now and then it draws a shape that is no member of any class.
"""


def _shown(value: float | int | list[int]) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else f"{value:g}"
