"""What the page's address shows, for those who run no scripts: readers without, and whoever makes
the preview of a link.

query string -> title and the path of its picture -> tags of the head, and an image

Nothing is checked here that the picture's own address checks: a bad one has no picture.
"""

import re
from dataclasses import dataclass
from html import escape
from urllib.parse import parse_qsl, quote, unquote, urlencode

MOST_FIELDS = 32
LARGEST = 2048  # characters of a query that is looked at: a latent is longer, and has no preview
HOST = re.compile(r"^(?:[a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?$", re.IGNORECASE)
LOOK = ("model", "class", "truncation", "edit")
SIDE = 512  # pixels, about, of a preview
SHEET = {"n": "8", "columns": "4"}
WEIGHTS = ("1", "-1", "1")  # where a mix names none
DESCRIPTION = (
    "Pictures that a neural network invents: every name is one picture that never changes. "
    "A line of HTML embeds it."
)


@dataclass(frozen=True)
class Preview:
    """A picture in words: how it is called, and the path and query that draw it."""

    title: str
    path: str
    size: tuple[int, int]  # pixels


def preview(query: str, side: int) -> Preview:
    """Returns what an address of the page shows; `side` is of the generator's pictures."""
    try:
        words = dict(parse_qsl(query[:LARGEST], max_num_fields=MOST_FIELDS))
    except ValueError:  # too many
        words = {}
    look = {name: words[name] for name in LOOK if words.get(name)}
    title, path, source, shape = _shown(words)
    scale = max(1, min(16, SIDE // (side * max(shape))))
    size = {"scale": str(scale), "resample": "lanczos"} if scale > 1 else {}
    parameters = urlencode({**source, **(look | source), **size}, quote_via=quote, safe=":,@")
    columns, rows = shape
    pixels = (columns * side * scale, rows * side * scale)
    return Preview(title[:256], f"{path}.png?{parameters}", pixels)


def _shown(words: dict[str, str]) -> tuple[str, str, dict[str, str], tuple[int, int]]:
    """Returns a title, a path, its parameters, and how many pictures are side by side and below."""
    view = words.get("view", "")
    if "seed" in words and view in ("", "focus"):
        seed = words["seed"]
        title = words.get("text") or (f"Seed {seed}" if seed.isdecimal() else seed)
        return title, "generate", {"seed": seed}, (1, 1)
    if "mix" in words and view in ("", "focus"):
        return "A mix", "generate", {"mix": words["mix"]}, (1, 1)
    if "at" in words and view in ("", "focus"):
        *corners, x, y = [*words["at"].split(",")[:6], "", ""][:6]
        return "A place on a plane", "plane", _place(corners, x, y), (1, 1)
    if view == "plane" and words.get("corners"):
        source = {"seeds": words["corners"], "columns": "5", "rows": "5"}
        return "A plane between four pictures", "plane", source, (5, 5)
    if view == "path" and words.get("pins"):
        path, source = _pinned(words["pins"].split(",")[0])
        return "A film between pictures", path, source, (1, 1)
    if view == "mix" and words.get("of"):
        weights = words.get("weights", ",".join(WEIGHTS)).split(",")
        parts = zip(words["of"].split(","), weights, strict=False)
        mix = ",".join(f"{seed}:{weight}" for seed, weight in parts if weight != "0")
        return "A mix of pictures", "generate", {"mix": mix}, (1, 1)
    if view == "names" and words.get("names"):
        return "Pictures of names", "generate", {"seed": words["names"].split("\n")[0]}, (1, 1)
    return (
        "Pictures by a neural network",
        "generate",
        {"seed": words.get("grid", "0")} | SHEET,
        (
            4,
            2,
        ),
    )


def _pinned(text: str) -> tuple[str, dict[str, str]]:
    """Returns the path and the parameters of a pin, as the page writes it: where it lies in latent
    space, then what is done to it.
    """
    lies, *done = text.split("~")
    path, parts = "generate", lies.split("_")
    if lies.startswith("at"):
        *corners, x, y = [*lies[2:].split("_")[:6], "", ""][:6]
        path, found = "plane", _place(corners, x, y)
    elif lies.startswith("z"):
        found = {"z": ",".join(parts)[1:]}
    else:
        found = {"mix" if ":" in lies else "seed": ",".join(parts)}
    edits = [word for word in done if re.match("d[0-9]+:", word)]
    if edits:
        found["edit"] = ",".join(edits)
    for word in done:
        if re.match("t[0-9]", word):
            found["truncation"] = word[1:]
        elif word not in edits:
            found["class"] = unquote(word.removeprefix("="))
    return path, found


def _place(corners: list[str], x: str, y: str) -> dict[str, str]:
    place = {"x": x, "y": y, "size": "0", "columns": "1", "rows": "1"}
    return {"seeds": ",".join(corners), **place}


def head(found: Preview, origin: str | None, *, pictured: bool) -> str:
    """Returns the tags of a page's head; those with addresses only where the origin is known."""
    words = {"og:type": "website", "og:site_name": "ganserve", "og:title": found.title}
    words["og:description"] = DESCRIPTION
    if pictured and origin:
        width, height = found.size
        words |= {"og:image": f"{origin}/{found.path}", "og:image:alt": found.title}
        words |= {"og:image:width": str(width), "og:image:height": str(height)}
    tags = [f'<meta property="{name}" content="{escape(text)}">' for name, text in words.items()]
    card = "summary" if found.size[0] == found.size[1] else "summary_large_image"
    return "\n".join([*tags, f'<meta name="twitter:card" content="{card}">'])


def image(found: Preview) -> str:
    """Returns the picture as an image of the page itself."""
    width, height = found.size
    return (
        f'<img src="{escape(found.path)}" width="{width}" height="{height}" '
        f'alt="{escape(found.title)}">'
    )


def origin_of(scheme: str, host: str, root_path: str) -> str | None:
    """Returns where the page lies, if the header Host can be believed to name a host."""
    return f"{scheme}://{host}{root_path}" if HOST.match(host) else None
