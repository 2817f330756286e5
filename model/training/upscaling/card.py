"""The model card of an upscaler: README.md beside its file, or a section of its generator's."""

from collections.abc import Mapping

from model.training.run.card import DESCRIPTION, LICENCES
from model.upscaling.upscaler_file import UpscalerFile

SECTION = "## Upscaler"


def snapshot_card(file: UpscalerFile) -> str:
    """Returns Markdown for an upscaler of a run that still goes on."""
    header = file.header
    return (
        f"# {header.preset}\n\nA snapshot after {header.images_seen:,} pairs; `export` writes a "
        f"full card.\n\n## Quality\n\n{_quality(file)}"
    )


def upscaler_card(file: UpscalerFile, command: str, cost: str, description: str = "") -> str:
    """Returns Markdown for people: what it enlarges, what it was trained on, how it was made and at
    what cost, how good it is, and what a person has to say of it.
    """
    header = file.header
    about = f"{DESCRIPTION}\n\n{description}\n\n" if description else ""
    licence = header.licence.strip().lower().replace(" ", "-")
    known = f"license: {licence}\n" if licence in LICENCES else ""
    return f"""---
{known}library_name: ganserve
pipeline_tag: image-to-image
tags:
- gan
- super-resolution
---

# {header.data.name}, enlarged

{about}{_facts(file)}

## Use it

`ganserve export RUN --into MODELFOLDER` adds an upscaler to a generator's folder; its pictures are then enlarged by it
where `resample=learned` asks for that.

## Data and licence

{header.licence}
SHA-256 of what it was trained on: `{header.data.sha256}`.

## How it was made

```
{command}
```

{cost}

## Quality

{_quality(file)}
## Limits

It draws what its training pictures have: outlines, areas and shapes like theirs. Photographs and texts become no truer.
"""


def section(
    file: UpscalerFile, command: str, cost: str, beside: Mapping[str, float] | None = None
) -> str:
    """Returns the section on an upscaler in its generator's card. `beside` are the metrics of the
    upscaler that an integer one was made of.
    """
    header = file.header
    return f"""{SECTION}

It enlarges the generator's pictures where `resample=learned` asks for that; the generator and its pictures stay what they were.

{_facts(file)}

```
{command}
```

{cost}

Data and licence: {header.licence}

{_quality(file, beside)}"""


def _facts(file: UpscalerFile) -> str:
    header, network = file.header, file.header.network
    scales = " and ".join(f"{scale}x" for scale in network.scales)
    colour = "grey" if network.channels == 1 else "RGB"
    products = network.products(64, max(network.scales)) / 1e9
    weights = "exponential moving average, float16"
    if header.is_integer:
        weights = "8-bit integers: the same bytes on every machine"
    return f"""| | |
| --- | --- |
| enlarges | {colour} pictures, {scales} |
| network | {network.layers + 2} convolutions, {network.width} channels, preset `{header.preset}`; {products:.2f} G multiply-adds for 64x64 pixels at {max(network.scales)}x |
| weights | {weights} |
| SHA-256 of the file | `{file.sha256}` |
| trained on | {header.data.name}, part `{header.data.split}`, {header.data.images:,} pictures |
| pairs seen | {header.images_seen:,} |"""


def _quality(file: UpscalerFile, beside: Mapping[str, float] | None = None) -> str:
    """Returns the metrics as a table."""
    metrics = file.header.metrics
    if not metrics:
        return "Not measured.\n"
    head = "| metric | value |\n| --- | --- |"
    rows = "\n".join(f"| `{name}` | {value:g} |" for name, value in metrics.items())
    more = ""
    if beside is not None:
        more = "`fidelity` is the nearness of what it makes of a generator's pictures to what floats do.\n"
        head = "| metric | value | of the upscaler in floats |\n| --- | --- | --- |"
        rows = "\n".join(
            f"| `{name}` | {_shown(metrics, name)} | {_shown(beside, name)} |"
            for name in {**metrics, **beside}
        )
    return f"""Held-out pictures are reduced (Lanczos) and enlarged again. `psnr` is their nearness to what they were, in dB, over all
values with no border cut, the mean of all pictures; `frechet` a distance between the two sets in features that no
part was trained with; `consistency` the nearness of a generator's pictures, enlarged and reduced again, to themselves.
{more}Names hold scale, method (none: this upscaler) and number of pictures.

{head}
{rows}
"""


def _shown(metrics: Mapping[str, float], name: str) -> str:
    return f"{metrics[name]:g}" if name in metrics else ""
