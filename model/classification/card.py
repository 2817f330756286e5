"""The card of a classifier that `evaluate` or `report` has learnt, for people."""

from model.classification.config import ClassifierConfig, Kind

LISTED = 40  # classes
KINDS: dict[Kind, str] = {
    "classifier": "a classifier",
    "parts": "a classifier that names parts too",
    "selfsup": "features that were learnt without labels",
}


def classifier_card(config: ClassifierConfig, hash: str) -> str:
    """Writes README.md: what it tells apart, what it has learnt from, how often it is right."""
    names = ", ".join(config.classes[:LISTED])
    more = len(config.classes) - LISTED
    tells = [
        f"# {config.name or config.data}: {KINDS[config.kind]}",
        "",
        f"Looks at pictures of {config.side}x{config.side} pixels, "
        f"{'RGB' if config.channels == 3 else 'grey'}; others are resized. Weights {hash}, layout "
        f"{config.layout}.",
    ]
    if config.classes:
        tells += [
            "",
            f"Tells apart: {names}{f', and {more} more' if more > 0 else ''}. It names one of "
            "these whatever it is shown, and may be sure of it.",
        ]
    if config.parts:
        tells += ["", f"Names the layer in each of {len(config.parts)} slots, too."]
    measured = (
        f" It names {config.test_accuracy:.2%} of the test pictures right."
        if config.classes and config.test_accuracy
        else ""
    )
    tells += [
        "",
        f"Has learnt from {config.data} (SHA-256 of pictures and labels: "
        f"{config.data_sha256[:12] or 'unknown'}), {config.epochs} epochs, seed {config.seed}."
        f"{measured}",
        "",
        f"Licence of the data: {config.licence}",
    ]
    return "\n".join(tells) + "\n"
