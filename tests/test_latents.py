"""A seed is a promise: its latent is pinned here, number by number."""

import math

import numpy as np
import pytest

from model.latent_space import latents
from model.latent_space.latents import PRIORS, SEED_LIMIT, Prior, sample_latents, text_seed

# The first four values of some seeds. A change here would change every picture ever served.
VECTORS = {
    ("uniform", 0): [
        "-0x1.f42d160000000p-1",
        "-0x1.08a7540000000p-1",
        "-0x1.8de6620000000p-1",
        "0x1.07d7a00000000p-3",
    ],
    ("uniform", 42): [
        "0x1.47e2060000000p-1",
        "-0x1.3e36660000000p-1",
        "0x1.787c140000000p-1",
        "-0x1.afcb580000000p-3",
    ],
    ("uniform", 4294967303): [
        "0x1.bdf9ec0000000p-4",
        "-0x1.1da4c00000000p-1",
        "0x1.9c33220000000p-1",
        "-0x1.eb3ab40000000p-1",
    ],
    ("uniform", 9223372036854775807): [
        "0x1.b406ae0000000p-1",
        "-0x1.4612720000000p-1",
        "0x1.e879e60000000p-3",
        "-0x1.bb97ec0000000p-6",
    ],
    ("normal", 0): [
        "-0x1.22cd1a0000000p+1",
        "-0x1.6714740000000p-1",
        "-0x1.380f160000000p+0",
        "0x1.4c209a0000000p-3",
    ],
    ("normal", 42): [
        "0x1.d50dbe0000000p-1",
        "-0x1.c2e8700000000p-1",
        "0x1.1d8af60000000p+0",
        "-0x1.11d0b60000000p-2",
    ],
    ("normal", 4294967303): [
        "0x1.1858e60000000p-3",
        "-0x1.898c340000000p-1",
        "0x1.4bd0c20000000p+0",
        "-0x1.0622460000000p+1",
    ],
    ("normal", 9223372036854775807): [
        "0x1.71fc2a0000000p+0",
        "-0x1.d19c820000000p-1",
        "0x1.36d07a0000000p-2",
        "-0x1.1608ca0000000p-5",
    ],
}


@pytest.mark.parametrize(("prior", "seed"), VECTORS)
def test_latent_of_a_seed_never_changes(prior: Prior, seed: int) -> None:
    found = sample_latents([seed], 100, prior)[0, :4]
    assert [value.hex() for value in found.tolist()] == VECTORS[prior, seed]


@pytest.mark.parametrize("prior", PRIORS)
def test_latent_depends_on_its_seed_alone(prior: Prior) -> None:
    together = sample_latents([3, 1, 2, 3], 100, prior)
    for row, seed in zip(together, [3, 1, 2, 3], strict=True):
        assert np.array_equal(row, sample_latents([seed], 100, prior)[0])


@pytest.mark.parametrize("prior", PRIORS)
def test_longer_latent_begins_like_the_shorter(prior: Prior) -> None:
    assert np.array_equal(sample_latents([5], 10, prior), sample_latents([5], 100, prior)[:, :10])


def test_uniform_prior_fills_its_box() -> None:
    z = sample_latents(range(2000), 100, "uniform")
    assert z.dtype == np.float32
    assert np.abs(z).max() <= 1
    assert z.mean() == pytest.approx(0, abs=0.005)
    assert z.std() == pytest.approx(1 / np.sqrt(3), rel=0.005)


def test_normal_prior_has_the_normal_distribution() -> None:
    z = np.sort(sample_latents(range(2000), 100, "normal").ravel())
    assert z.mean() == pytest.approx(0, abs=0.01)
    assert z.std() == pytest.approx(1, rel=0.01)
    # the quantiles of a standard normal, from tables
    for share, quantile in ((0.001, -3.0902), (0.05, -1.6449), (0.5, 0.0), (0.975, 1.9600)):
        assert z[int(share * len(z))] == pytest.approx(quantile, abs=0.06)


@pytest.mark.parametrize("seed", [-1, SEED_LIMIT])
def test_seed_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(ValueError, match="allowed: 0 to"):
        sample_latents([seed], 4, "uniform")


@pytest.mark.parametrize(
    ("text", "seed"),
    [
        ("ada", 9148818030126345199),
        ("Ada", 5535682422923268340),
        ("ada@example.org", 7489493804479138323),
        ("", 8203414616412130826),
        ("\u00e9", 2687710815487386025),
    ],
)
def test_seed_of_a_text_never_changes(text: str, seed: int) -> None:
    assert text_seed(text) == seed


def test_accents_typed_in_two_ways_are_one_seed() -> None:
    assert text_seed("\u00e9") == text_seed("e\u0301")


def test_half_a_character_is_no_text() -> None:
    with pytest.raises(UnicodeEncodeError):
        text_seed("\ud800")


def test_words_of_ones_or_zeros_alone_are_latents_too() -> None:
    """None of the known seeds has such a word: one in 2**53 is."""
    words = np.array([[0, 2**64 - 1]], np.uint64)
    for prior in PRIORS:
        assert np.isfinite(latents._values(words, prior)).all()
    assert 0.0 < latents._unit(words)[0, 0] < latents._unit(words)[0, 1] < 1.0


def test_logarithm_is_the_same_to_the_last_bit_everywhere() -> None:
    pinned = {  # exact libraries give the neighbour of all but the last
        0.02076684030340281: "-0x1.efec4437a059ep+1",
        0.044212654656303606: "-0x1.8f3302c490030p+1",
        0.01: "-0x1.26bb1bbb55516p+2",
        2.0**-54: "-0x1.2b708872320e2p+5",
    }
    found = latents._log(np.array(list(pinned)))
    assert [value.hex() for value in found.tolist()] == list(pinned.values())
    spread = np.concatenate([np.random.default_rng(0).random(20_000), 2.0 ** -np.arange(1, 55)])
    nearest = np.array([math.log(x) for x in spread])
    assert (np.abs(latents._log(spread) - nearest) <= np.spacing(np.abs(nearest))).all()
