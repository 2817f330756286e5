"""Which format an answer takes: the extension's, the parameter's, or what Accept prefers.

RFC 9110, section 12.5.1: the highest weight wins; among equals, the order of the offers.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache

from fastapi import Request

from app.responses.offers import STILL_OFFERS
from app.responses.problems import InvalidRequest, NotAcceptable, NotFound
from model.encoding.formats import STILLS, Format

LONGEST_ACCEPT = 2048  # characters that are read
MOST_RANGES = 64

Offers = Mapping[str, str]  # formats and their media types, the one preferred first


def still_format(
    request: Request, extension: str | None, format: str | None, quality: int | None
) -> tuple[Format, bool]:
    """Chooses the format of a still picture; returns it and whether Accept had a say in it.

    Raises:
        Problem: there is no such format, or none that suits, or it has no quality.
    """
    name, negotiated = choose(request, STILL_OFFERS, extension, format)
    check_quality(STILLS[name], quality)
    return STILLS[name], negotiated


def check_quality(format: Format, quality: int | None) -> None:
    """Raises InvalidRequest where a quality is asked of a format that has none."""
    if quality is not None and not format.has_quality:
        raise InvalidRequest(f"quality: {format.name} has none; webp, avif and jpeg have")


def choose(
    request: Request, offers: Offers, extension: str | None, format: str | None
) -> tuple[str, bool]:
    """Chooses the format by extension and parameter, else by Accept; returns it and whether Accept
    had a say in it.

    Raises:
        NotFound: no such extension.
        InvalidRequest: extension and parameter differ.
        NotAcceptable: Accept takes none of the offers.
    """
    if extension is not None:
        named = EXTENSIONS.get(extension, extension)
        named = "strip" if named == "png" and "strip" in offers else named
        if named not in offers:
            raise NotFound(f"No such extension here; known: {', '.join(extensions_of(offers))}.")
        if format not in (None, named):
            raise InvalidRequest("format: the extension says another; one of them is enough")
        return named, False
    if format is not None:
        return format, False
    accept = ", ".join(request.headers.getlist("Accept"))
    return best(tuple(offers.items()), accept or "*/*"), True


EXTENSIONS = {"jpg": "jpeg"}  # those that are not the format's name


def extensions_of(offers: Iterable[str]) -> list[str]:
    """Returns the extensions of all offers, without the point."""
    names = ["png" if name == "strip" else name for name in offers]
    return [*names, *(e for e, name in EXTENSIONS.items() if name in names)]


@lru_cache(maxsize=1024)
def best(offers: tuple[tuple[str, str], ...], accept: str) -> str:
    """Returns the name of the offer that an Accept header prefers.

    Raises:
        NotAcceptable: it takes none of them.
    """
    ranges = [_range(part) for part in accept[:LONGEST_ACCEPT].split(",", MOST_RANGES)]
    weights = {name: _weight(media_type, ranges) for name, media_type in offers}
    name = max(weights, key=lambda name: weights[name])
    if weights[name] <= 0:
        known = ", ".join(dict.fromkeys(media_type for _, media_type in offers))
        raise NotAcceptable(f"Accept takes none of what there is: {known}.")
    return name


def _range(part: str) -> tuple[str, float]:
    media_range, *parameters = (piece.strip() for piece in part.split(";"))
    weight = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                weight = float(value.strip()[:5])
            except ValueError:
                weight = 0.0
    return media_range.lower(), weight if 0 <= weight <= 1 else 0.0


def _weight(media_type: str, ranges: list[tuple[str, float]]) -> float:
    """Returns the weight of the most specific range that fits; 0 where none does."""
    family = media_type.partition("/")[0]
    for wanted in (media_type, f"{family}/*", "*/*"):
        fitting = [weight for media_range, weight in ranges if media_range == wanted]
        if fitting:
            return max(fitting)
    return 0.0
