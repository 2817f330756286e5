"""The explorer in a real browser, with the generator that ships: each of its features, its manners,
and what it does when the service will not.
"""

import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.access.keys import key_hash
from model.encoding.animations import HAS_VIDEO
from model.encoding.marking import read_recipe
from model.generators import ZOO
from tests.browsing import (
    Visit,
    drawn,
    drop,
    forgive,
    hold,
    refusing,
    shows,
    slide,
    taken,
    toast,
    until,
    until_held,
)
from tests.conftest import give_upscaler, write_tiny_generator, write_tiny_residual
from tests.services import fetch, service

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LAST = 2**63 - 1
KEY = "a key of somebody"
VIEWS = {
    "grid": "/?grid=0",
    "focus": "/?seed=42&edit=d0:1.2",
    "plane": "/?view=plane&corners=3,8,5,42",
    "path": "/?view=path&pins=3,8,5",
    "path-empty": "/?view=path",
    "mix": "/?view=mix&of=3,8,5",
    "find": "/?view=find",
    "saved": "/?view=saved",
    "models": "/?view=models",
    "names": "/?view=names&names=ada%0Abo",
    "learn": "/?view=learn",
}
Open = Callable[..., Visit]
SHOWN = "document.querySelector('.stage canvas').dataset.shown"
FILM = "document.querySelector('.stage:not([aria-busy]) canvas[data-frames]') !== null"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yields the generator that ships, beside one in colour with classes."""
    colour = write_tiny_residual(tmp_path_factory.mktemp("more") / "colour")
    settings = {"GAN_MODELS": str(colour), "GAN_THREADS": "1", "GAN_PROJECTION": "true"}
    with service(ZOO / "mnist", **settings) as (_, address):
        yield address


@pytest.fixture(scope="module")
def upscaled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yields a generator with an upscaler, beside one without."""
    folder = tmp_path_factory.mktemp("upscaled")
    give_upscaler(write_tiny_residual(folder / "sharp"))
    settings = {"GAN_MODELS": str(write_tiny_generator(folder / "tiny")), "GAN_THREADS": "1"}
    with service(folder / "sharp", **settings) as (_, address):
        yield address


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yields a host with narrow bounds that wants a key."""
    folder = write_tiny_generator(tmp_path_factory.mktemp("strict") / "tiny")
    few = {"PICTURES": "9", "EDITS": "2", "FRAMES": "6", "SIDE": "7", "KEYS": "3", "PIXELS": "5000"}
    bounds = {f"GAN_MAX_{name}": value for name, value in few.items()}
    with service(folder, GAN_API_KEY_HASHES=key_hash(KEY), **bounds) as (_, address):
        yield address


# --- the grid ---


def sheets_of(visit: Visit) -> list[int]:
    """Returns how many pictures are in each sheet that the page has asked for."""
    paths = [path for path in visit.requests if path.startswith("/generate.png")]
    return [int(re.findall(r"[?&]n=(\d+)", path)[0]) for path in paths]


def test_grid_is_two_sheets_of_seeds_that_follow(visit: Open, address: str) -> None:
    here = visit(viewport={"width": 1280, "height": 800})
    page = here.go()
    tiles = page.locator("button.tile")
    page.get_by_role("button", name="More pictures").wait_for()
    count = tiles.count()
    assert count >= 48
    assert page.locator("span.tile").count() == 0  # no place is left empty
    soon, later = sheets_of(here)
    assert (soon + later, soon < later) == (count, True)
    first = int(page.url.split("grid=")[1].split("&")[0])
    label = tiles.nth(5).get_attribute("aria-label")
    assert label == f"Seed {first + 5}"
    for place in (5, soon - 1, soon, count - 1):
        wanted = drawn(address, f"/generate.npy?seed={first + place}")
        shows(here, wanted, f"button.tile >> nth={place} >> canvas")
    page.get_by_role("button", name="More pictures").click()
    tiles.nth(count).wait_for()
    last = tiles.nth(count).get_attribute("aria-label")
    assert last == f"Seed {first + count}"


def test_first_rows_do_not_wait_for_the_others(visit: Open) -> None:
    here = visit()
    held = hold(here.page, "**/generate.png*", 3)
    page = here.go("/?grid=0")
    until_held(page, held, 1)
    assert page.locator("span.tile").count() > 24
    held[0].continue_()
    page.get_by_role("button", name="Seed 0", exact=True).wait_for()
    until_held(page, held, 2)
    (soon, later), tiles = sheets_of(here), page.locator("button.tile")
    assert (tiles.count(), page.locator("span.tile").count()) == (soon, later)
    assert not page.get_by_role("button", name="More pictures").is_visible()
    page.keyboard.press("r")  # whoever does not want them has no use for the others
    held[1].continue_()
    until_held(page, held, 3)
    held[2].continue_()
    page.get_by_role("button", name="More pictures").wait_for()
    seed = int(page.url.split("grid=")[1].split("&")[0])
    labels = tiles.evaluate_all("tiles => tiles.map(tile => tile.ariaLabel)")
    assert labels == [f"Seed {seed + place}" for place in range(soon + later)]


def test_pictures_stay_where_there_are_no_others(visit: Open) -> None:
    here = visit()
    page = here.page
    refusing(here, "**/generate.png*", 500, 99, "The service failed.")
    page.route("**/generate.png*seed=0&*", lambda route: route.continue_())
    here.go("/?grid=0")
    toast(page, "The service failed.")
    page.get_by_role("button", name="More pictures").wait_for()
    (soon, later), tiles = sheets_of(here), page.locator("button.tile")
    assert (tiles.count(), page.locator("span.tile").count()) == (soon, 0)
    page.unroute("**/generate.png*")
    page.get_by_role("button", name="More pictures").click()
    tiles.nth(soon + later).wait_for()
    assert tiles.nth(soon).get_attribute("aria-label") == f"Seed {soon}"
    forgive(here)


def test_pictures_that_failed_unseen_are_drawn_anew(visit: Open) -> None:
    here = visit()
    page = here.go("/?view=mix&of=3,8,5")
    held = hold(page, "**/generate.png*seed=7&*", 1)
    page.evaluate("history.pushState(null, '', '/?grid=7')")
    page.evaluate("dispatchEvent(new PopStateEvent('popstate', {state: null}))")
    until_held(page, held, 1)
    page.keyboard.press("4")
    page.get_by_role("heading", name="Mix").wait_for()
    held[0].fulfill(status=500, json={"detail": "The service failed."})
    page.unroute("**/generate.png*seed=7&*")
    page.wait_for_timeout(100)
    page.keyboard.press("1")
    page.get_by_role("button", name="Seed 7", exact=True).wait_for()
    forgive(here)


def test_many_shuffles_make_no_backlog(visit: Open) -> None:
    here = visit()
    page = here.go("/?grid=0")
    page.get_by_role("button", name="More pictures").wait_for()
    before = len(sheets_of(here))
    for _ in range(30):
        page.keyboard.press("r")
    page.get_by_role("button", name="More pictures").wait_for()
    seed = page.url.split("grid=")[1].split("&")[0]
    page.get_by_role("button", name=f"Seed {seed}", exact=True).wait_for()
    assert len(sheets_of(here)) - before < 30  # each alone would be two


def test_shuffle_of_an_unfinished_grid_is_undone(visit: Open) -> None:
    here = visit()
    held = hold(here.page, "**/generate.png*", 2)
    here.page.goto(here.address)
    until_held(here.page, held, 1)
    held[0].continue_()
    first = here.page.locator("button.tile").first
    first.wait_for()
    name = first.get_attribute("aria-label")
    here.page.keyboard.press("r")
    here.page.wait_for_url("**grid=**")
    until_held(here.page, held, 2)
    held[1].continue_()
    here.page.keyboard.press("z")
    until(here.page, "history.state.index === 0")
    here.page.get_by_role("button", name="More pictures").wait_for()
    assert first.get_attribute("aria-label") == name


def test_shuffle_shows_others_and_back_the_same_again(visit: Open) -> None:
    page = visit().go("/?grid=17")
    first = page.locator("button.tile").first
    page.get_by_role("button", name="Seed 17", exact=True).wait_for()
    page.keyboard.press("r")
    until(page, "document.querySelector('button.tile')?.ariaLabel !== 'Seed 17'")
    page.go_back()
    page.get_by_role("button", name="Seed 17", exact=True).wait_for()
    assert first.get_attribute("aria-label") == "Seed 17"
    page.go_forward()
    until(page, "document.querySelector('button.tile')?.ariaLabel !== 'Seed 17'")


def test_any_text_is_a_seed_and_what_is_none_is_told(visit: Open, address: str) -> None:
    here = visit()
    page = here.go()
    page.keyboard.press("/")
    page.keyboard.type("1.5")
    page.keyboard.press("Enter")
    page.get_by_text("Numbers are whole").wait_for()
    page.get_by_label("Name: any text or number").fill("ada & co")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="ada & co").wait_for()
    shows(here, drawn(address, "/generate.npy?seed=ada%20%26%20co"))
    here.go("/?seed=ada%20%26%20co")
    page.get_by_role("heading", name="ada & co").wait_for()
    shows(here, drawn(address, "/generate.npy?seed=ada%20%26%20co"))


def test_generators_and_classes_are_chosen_from(visit: Open, address: str) -> None:
    here = visit()
    page = here.go("/?grid=0")
    page.get_by_label("Model").select_option(label="colour")
    page.get_by_role("button", name="red panda").click()
    tile = page.get_by_role("button", name="Seed 3, red panda")
    tile.wait_for()
    assert "class=red%20panda" in page.url
    tile.click()
    shows(here, drawn(address, "/generate.npy?model=colour&seed=3&class=red%20panda"))
    page.get_by_label("Class").select_option("cat")
    shows(here, drawn(address, "/generate.npy?model=colour&seed=3&class=cat"))
    page.get_by_label("Class").select_option("")
    own = json.loads(fetch(f"{address}/latents/3.json?model=colour"))["class"]
    page.locator(".detail", has_text=own).wait_for()
    page.get_by_label("Model").select_option(label="mnist")
    shows(here, drawn(address, "/generate.npy?seed=3"))
    assert page.get_by_label("Class").count() == 0


def test_what_another_generator_cannot_draw_is_left_out_and_told(visit: Open, address: str) -> None:
    here = visit()
    page = here.go("/?model=colour&seed=3&class=cat&edit=d0:1")
    shows(here, drawn(address, "/generate.npy?model=colour&seed=3&class=cat&edit=d0:1"))
    page.get_by_label("Model").select_option(label="mnist")
    toast(page, "Left out, as mnist cannot draw it: cat")
    shows(here, drawn(address, "/generate.npy?model=mnist&seed=3&edit=d0:1"))
    assert "cat" not in page.url
    here.go(page.url.removeprefix(address))  # a link to what is shown
    shows(here, drawn(address, "/generate.npy?model=mnist&seed=3&edit=d0:1"))
    page.go_back()
    shows(here, drawn(address, "/generate.npy?model=colour&seed=3&class=cat&edit=d0:1"))
    exact = json.loads(fetch(f"{address}/models"))["default"]
    here.go(f"/?model={exact}&seed=3&class=zzz&edit=d0:99,d1:-1,d88:1")
    toast(page, "Left out, as mnist cannot draw it: d0:99, d88:1, zzz")
    shows(here, drawn(address, "/generate.npy?seed=3&edit=d1:-1"))
    here.go("/?grid=3&edit=d0:99&class=1")
    page.get_by_role("button", name="Seed 3", exact=True).wait_for()
    forgive(here)  # the first sheet is asked for before the generator is known


# --- the focus ---


def test_sliders_steer_and_the_address_restores_it(visit: Open, address: str) -> None:
    here = visit()
    page = here.go("/?grid=40")
    page.get_by_role("button", name="Seed 42", exact=True).click()
    shows(here, drawn(address, "/generate.npy?seed=42"))
    slide(page, "Direction 1", 1.45)
    slide(page, "Direction 3", -2.9)
    slide(page, "Variety", 0.7)
    wanted = drawn(address, "/generate.npy?seed=42&truncation=0.7&edit=d0:1.45,d2:-2.9")
    shows(here, wanted)
    other = visit()
    other.go(page.url.removeprefix(address))
    shows(other, wanted)
    page.keyboard.press("z")
    shows(here, drawn(address, "/generate.npy?seed=42&edit=d0:1.45,d2:-2.9"))
    page.get_by_role("button", name="Undo", exact=True).click()
    shows(here, drawn(address, "/generate.npy?seed=42&edit=d0:1.45"))
    page.keyboard.press("Shift+Z")
    page.get_by_role("button", name="Redo", exact=True).click()
    shows(here, wanted)
    toast_free = page.locator("#toast")
    assert not toast_free.is_visible()
    page.keyboard.press("Shift+Z")
    toast(page, "Nothing to redo")
    page.get_by_role("button", name="Undo all edits").click()
    shows(here, drawn(address, "/generate.npy?seed=42&truncation=0.7"))


def test_slider_goes_step_by_step_with_keys(visit: Open, address: str) -> None:
    here = visit()
    page = here.go("/?seed=3")
    slider = page.get_by_role("slider", name="Direction 2")
    slider.focus()
    values = []
    for key in ["ArrowRight"] * 3 + ["ArrowLeft"] * 4:
        page.keyboard.press(key)
        values.append(float(slider.input_value()))
    assert values == pytest.approx([values[0] * n for n in (1, 2, 3, 2, 1, 0, -1)], abs=0.01)
    assert values[0] > 0
    step = page.url.split("edit=d1:")[1]
    shows(here, drawn(address, f"/generate.npy?seed=3&edit=d1:{step}"))


def test_ends_of_a_slider_are_shown_beside_it(visit: Open, address: str) -> None:
    here = visit()
    page = here.go("/?seed=7&edit=d1:1")
    shows(here, drawn(address, "/generate.npy?seed=7&edit=d0:-2.9,d1:1"), ".end >> nth=0 >> canvas")
    shows(here, drawn(address, "/generate.npy?seed=7&edit=d1:2.9"), ".end >> nth=3 >> canvas")
    assert page.locator(".slider").count() == 8
    page.get_by_role("button", name="Direction 1: as far left as it goes").click()
    shows(here, drawn(address, "/generate.npy?seed=7&edit=d0:-2.9,d1:1"))


def test_sixty_moves_a_second_make_no_backlog_and_end_where_they_end(
    visit: Open, address: str
) -> None:
    here = visit()
    page = here.go("/?seed=42")
    shows(here, drawn(address, "/generate.npy?seed=42"))
    here.settle()
    here.requests.clear()
    here.most_underway = here.underway
    page.get_by_role("slider", name="Direction 2").evaluate(
        """async input => {
          for (let move = 1; move <= 60; move++) {
            input.value = 2.9 * move / 60
            input.dispatchEvent(new Event("input", {bubbles: true}))
            await new Promise(resolve => setTimeout(resolve, 1000 / 60))
          }
        }"""
    )
    shows(here, drawn(address, "/generate.npy?seed=42&edit=d1:2.9"))
    assert here.most_underway == 1
    assert 1 < len(here.requests) <= 60


# --- large ---

LEARNED = "scale=4&resample=learned"
PIXELS = {"learned": LEARNED, "smooth": "scale=4&resample=lanczos", "square": "scale=4"}
ENLARGED = ".stage canvas.large"


def card_of(address: str, name: str) -> Any:
    return json.loads(fetch(f"{address}/models/{name}"))


def test_large_picture_is_the_upscaler_s_in_every_view(visit: Open, upscaled: str) -> None:
    here = visit(address=upscaled, viewport={"width": 1280, "height": 900})
    page = here.go("/?seed=42")
    shows(here, drawn(upscaled, f"/generate.npy?seed=42&{LEARNED}"))
    permanent = f"/i/{card_of(upscaled, 'sharp')['upscaler']['id']}/42@4x~learned.png"
    assert page.locator(ENLARGED).get_attribute("data-enlarged") == permanent
    assert permanent in here.requests
    slide(page, "Direction 1", 1.4)
    shows(here, drawn(upscaled, f"/generate.npy?seed=42&edit=d0:1.4&{LEARNED}"))
    here.go(f"/?seed={LAST}&class=cat&truncation=0.7")
    look = f"class=cat&truncation=0.7&{LEARNED}"
    shows(here, drawn(upscaled, f"/generate.npy?seed={LAST}&{look}"))
    here.go("/?z=" + ",".join(["0.5"] * 8) + "&class=dog")
    recipe = {"z": [[0.5] * 8], "class": "dog", "scale": 4, "resample": "learned"}
    shows(here, drawn(upscaled, "/generate", recipe | {"format": "npy"}))
    here.go("/?view=plane&corners=3,8,5,42")
    place = "seeds=3,8,5,42&columns=1&rows=1&size=0&x=0.5&y=0.5"
    shows(here, drawn(upscaled, f"/plane.npy?{place}&{LEARNED}"), ".panel canvas.large")
    shows(here, drawn(upscaled, "/plane.npy?seeds=3,8,5,42&columns=9&rows=9"), ".pad canvas")
    here.go("/?view=mix&of=3,8,5")
    mix = drawn(upscaled, f"/generate.npy?mix=3:1,8:-1,5:1&{LEARNED}")
    shows(here, mix, ".result canvas")
    shows(here, drawn(upscaled, "/generate.npy?seed=3"), ".slot >> nth=0 >> canvas")


def test_moves_wait_for_no_upscaler(visit: Open, upscaled: str) -> None:
    here = visit(address=upscaled)
    held: list[Any] = []
    here.page.route("**learned**", lambda route: held.append(route))
    page = here.go("/?seed=42")
    shows(here, drawn(upscaled, "/generate.npy?seed=42"))
    until_held(page, held, 1)
    page.get_by_role("slider", name="Direction 2").evaluate(
        """async input => {
          for (let move = 1; move <= 60; move++) {
            input.value = 1.4 * move / 60
            input.dispatchEvent(new Event("input", {bubbles: true}))
            await new Promise(resolve => setTimeout(resolve, 1000 / 60))
          }
        }"""
    )
    shows(here, drawn(upscaled, "/generate.npy?seed=42&edit=d1:1.4"))
    page.wait_for_timeout(500)  # it rests, and the one before is still on its way
    assert len(held) == 1
    held[0].continue_()
    until_held(page, held, 2)
    assert np.array_equal(
        here.pixels(ENLARGED), drawn(upscaled, "/generate.npy?seed=42&edit=d1:1.4")
    )
    held[1].continue_()
    shows(here, drawn(upscaled, f"/generate.npy?seed=42&edit=d1:1.4&{LEARNED}"))
    assert len(held) == 2


def test_picture_that_is_enlarged_stays_so(visit: Open, upscaled: str) -> None:
    """Whoever lets a slider go where it has rested sees nothing change."""
    here = visit(address=upscaled)
    page = here.go("/?seed=42")
    slider = page.get_by_role("slider", name="Direction 1")
    move = "(input, [value, name]) => { input.value = value; input.dispatchEvent(new Event(name)) }"
    slider.evaluate(move, [1.4, "input"])
    wanted = drawn(upscaled, f"/generate.npy?seed=42&edit=d0:1.4&{LEARNED}")
    shows(here, wanted)
    page.evaluate(
        """() => {
          window.painted = 0
          const {drawImage} = CanvasRenderingContext2D.prototype
          CanvasRenderingContext2D.prototype.drawImage = function (...all) {
            if (this.canvas.matches(".stage canvas.large")) window.painted += 1
            return drawImage.apply(this, all)
          }
        }"""
    )
    asked = [path for path in here.requests if "learned" in path]
    slider.evaluate(move, [1.4, "change"])
    page.wait_for_url("**edit=d0:1.4**")
    page.keyboard.press("f")
    toast(page, "Favourite")
    page.wait_for_timeout(500)
    assert page.evaluate("window.painted") == 0
    assert [path for path in here.requests if "learned" in path] == asked
    shows(here, wanted)


def test_enlargement_that_is_refused_leaves_the_picture_and_is_told_of(
    visit: Open, upscaled: str
) -> None:
    here = visit(address=upscaled)
    refusing(here, "**learned**", 422, 1, "16384 pixels; allowed: 5000")
    page = here.go("/?seed=42")
    page.locator("#said", has_text="16384 pixels; allowed: 5000").wait_for(state="attached")
    shows(here, drawn(upscaled, "/generate.npy?seed=42"))
    page.keyboard.press("ArrowRight")
    shows(here, drawn(upscaled, f"/generate.npy?seed=43&{LEARNED}"))
    forgive(here)


def test_key_goes_through_the_kinds_of_pixels_and_all_follows(visit: Open, upscaled: str) -> None:
    here = visit(address=upscaled)
    page = here.go("/?seed=42")
    small = drawn(upscaled, "/generate.npy?seed=42")
    large = drawn(upscaled, f"/generate.npy?seed=42&{LEARNED}")
    rendering = f"getComputedStyle(document.querySelector('{ENLARGED}')).imageRendering"
    shown = {"learned": (large, "auto"), "smooth": (small, "auto"), "square": (small, "pixelated")}
    told = ["Enlarged smoothly", "Every pixel a square", "Enlarged by the upscaler"]

    def is_told(kind: str) -> None:
        name = f"Pixels: {kind}"
        page.get_by_role("button", name=name, exact=True).wait_for()
        assert page.get_by_role("button", name=name).get_attribute("title") == f"{name} (X)"
        assert page.get_by_label("Pixels", exact=True).input_value() == kind
        shows(here, shown[kind][0])
        assert page.evaluate(rendering) == shown[kind][1]

    is_told("learned")
    for kind, text in zip(("smooth", "square", "learned"), told, strict=True):
        page.keyboard.press("x")
        toast(page, text)
        is_told(kind)
    page.get_by_role("button", name="Pixels: learned").click()
    is_told("smooth")
    page.get_by_label("Pixels", exact=True).select_option("square")
    is_told("square")
    page.reload()
    is_told("square")
    page.keyboard.press("3")
    page.get_by_role("button", name="Four at random").click()
    path = page.get_by_label("Pixels", exact=True)
    assert path.input_value() == "square"
    page.locator("body").press("x")
    toast(page, told[2])
    assert path.input_value() == "learned"
    page.keyboard.press("?")
    assert "Pixels: learned, smooth, square" in page.get_by_role("dialog").inner_text()


def test_files_and_texts_are_enlarged_as_is_shown(visit: Open, upscaled: str) -> None:
    here = visit(address=upscaled, permissions=["clipboard-read", "clipboard-write"])
    page = here.go("/?seed=42&edit=d0:1")
    look = "model=sharp&seed=42&edit=d0:1"
    kinds = page.get_by_label("Pixels", exact=True)
    sizes = page.get_by_label("Size", exact=True)
    exception = page.locator(".export .detail")
    assert sizes.input_value() == "4"  # the upscaler has no more
    for kind, words in PIXELS.items():
        kinds.select_option(kind)
        assert taken(page) == fetch(f"{upscaled}/generate.png?{look}&{words}")
        assert not exception.is_visible()
        page.get_by_role("button", name="Picture URL").click()
        toast(page, "Copied: Picture URL")
        url = page.evaluate("navigator.clipboard.readText()")
        shown = words if kind == "learned" else words.replace("scale=4", "scale=8")
        assert fetch(url) == fetch(f"{upscaled}/generate.png?{look}&{shown}")
    kinds.select_option("learned")
    for size, words, told in (
        ("1", "", "32 px is as generated: the upscaler has 64 and 128."),
        ("2", "&scale=2&resample=learned", None),
        ("16", "&scale=16&resample=lanczos", "512 px is smooth: the upscaler has 64 and 128."),
    ):
        sizes.select_option(size)
        assert exception.is_visible() is (told is not None)
        assert told is None or exception.inner_text() == told
        assert taken(page) == fetch(f"{upscaled}/generate.png?{look}{words}")
    page.get_by_label("Format").select_option("webp")
    sizes.select_option("2")
    assert taken(page) == fetch(f"{upscaled}/generate.webp?{look}&scale=2&resample=learned")


@pytest.mark.parametrize("pixels", PIXELS)
@pytest.mark.parametrize("path", ["/?seed=42", "/?seed=42&truncation=0.5"])
def test_every_source_of_an_image_answers_with_its_size(
    visit: Open, upscaled: str, pixels: str, path: str
) -> None:
    here = visit(address=upscaled, permissions=["clipboard-read", "clipboard-write"])
    page = here.go(path)
    page.get_by_label("Pixels", exact=True).select_option(pixels)
    page.get_by_role("button", name="<img> tag", exact=True).click()
    toast(page, "Copied: <img> tag")
    tag = page.evaluate("navigator.clipboard.readText()")
    page.evaluate("tag => (document.body.insertAdjacentHTML('beforeend', tag))", tag)
    image = page.locator("body > img")
    image.evaluate("image => image.decode()")
    assert image.evaluate("image => image.offsetWidth") == 256
    sources = [source.split() for source in image.get_attribute("srcset").split(", ")]
    learned = pixels == "learned"
    assert [size for _, size in sources] == (["32w", "64w", "128w"] if learned else ["1x", "2x"])
    for url, size in sources:
        unit = 1 if learned else 256
        with Image.open(io.BytesIO(fetch(url))) as file:
            assert file.size == (int(size[:-1]) * unit,) * 2
    (best,) = (url for url, size in sources if size in ("128w", "1x"))
    assert image.get_attribute("src") == best
    assert "learned" not in tag if not learned else tag.count("learned") == 3


def test_film_is_enlarged_as_is_chosen(visit: Open, upscaled: str) -> None:
    here = visit(address=upscaled)
    page = here.go("/?view=path&pins=3,8&loop=true&fps=12")
    page.locator("canvas[data-frames='48']").wait_for()
    film = "/interpolate.webp?model=sharp&seeds=3,8&frames=48&ease=in-out&loop=true&fps=12"
    for kind, words in PIXELS.items():
        page.get_by_label("Pixels", exact=True).select_option(kind)
        page.get_by_label("Size").select_option("4")
        assert taken(page) == fetch(f"{upscaled}{film}&{words}")
    page.get_by_label("Pixels", exact=True).select_option("learned")
    page.get_by_label("Size").select_option("8")
    page.get_by_text("256 px is smooth: the upscaler has 64 and 128.").wait_for()
    page.get_by_label("Size").select_option("2")
    slide(page, "Variety", 0.5)
    page.get_by_role("button", name="Move right Seed 3, variety 0.5, place 1").click()
    page.wait_for_url("**pins=8~t0.5,3~t0.5&**")
    here.settle()  # what is taken is what is seen, which may still be the film before
    recipe = read_recipe(taken(page))
    assert recipe is not None
    assert (recipe["seeds"], recipe["resample"], recipe["scale"]) == ([8, 3], "learned", 2)


def test_file_of_an_enlarged_picture_is_restored(visit: Open, upscaled: str) -> None:
    here = visit(address=upscaled)
    page = here.go("/?view=find")
    drop(page, fetch(f"{upscaled}/generate.webp?seed=42&class=dog&edit=d0:1&{LEARNED}"))
    toast(page, "Restored from the file: Seed 42, dog")
    shows(here, drawn(upscaled, f"/generate.npy?seed=42&class=dog&edit=d0:1&{LEARNED}"))


def test_generator_without_an_upscaler_is_enlarged_as_before(visit: Open, upscaled: str) -> None:
    here = visit(address=upscaled, permissions=["clipboard-read", "clipboard-write"])
    page = here.go("/?model=tiny&seed=42")
    id = card_of(upscaled, "tiny")["id"]
    small = drawn(upscaled, "/generate.npy?model=tiny&seed=42")
    shows(here, small)
    kinds = page.get_by_label("Pixels", exact=True).locator("option")
    assert kinds.all_inner_texts() == ["Smooth", "Square"]
    for kind, text, image in (
        ("smooth", "scale=9&resample=lanczos", "scale=16&resample=lanczos"),
        ("square", f"/i/{id}/42@9x.png", f"/i/{id}/42@16x.png"),
    ):
        page.get_by_role("button", name=f"Pixels: {kind}").wait_for()
        page.get_by_role("button", name="Picture URL").click()
        toast(page, "Copied: Picture URL")
        assert page.evaluate("navigator.clipboard.readText()").endswith(text)
        assert taken(page) == fetch(
            f"{upscaled}{image}"
            if kind == "square"
            else f"{upscaled}/generate.png?model=tiny&seed=42&{image}"
        )
        page.keyboard.press("x")
    page.get_by_role("button", name="Pixels: smooth").wait_for()
    page.keyboard.press("?")
    assert "Pixels: smooth, square" in page.get_by_role("dialog").inner_text()
    page.keyboard.press("Escape")
    page.wait_for_timeout(500)
    assert not any("learned" in path for path in here.requests)
    shows(here, small)
    page.keyboard.press("x")  # this wish is of the generator's kinds, and so it holds for others
    page.get_by_label("Model").select_option(label="sharp")
    page.get_by_role("button", name="Pixels: square").wait_for()


# --- plane, path, arithmetic ---


def test_plane_is_walked_by_pointer_and_keys_and_opened(visit: Open, address: str) -> None:
    here = visit(viewport={"width": 1280, "height": 900})
    page = here.go("/?view=plane&corners=3,8,5,42")
    corner = "/plane.npy?seeds=3,8,5,42&columns=1&rows=1&size=0"
    large = ".panel canvas.large"
    shows(here, drawn(address, f"{corner}&x=0.5&y=0.5"), large)
    side = drawn(address, "/plane.npy?seeds=3,8,5,42&columns=9&rows=9")
    shows(here, side, ".pad canvas")
    box = page.locator(".pad").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] + 30, box["y"] + box["height"] + 30, steps=5)
    page.mouse.up()
    shows(here, drawn(address, "/generate.npy?seed=42"), large)
    page.wait_for_url("**x=1&y=1**")
    page.locator(".pad").focus()
    for key in ("Shift+ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
    wanted = drawn(address, f"{corner}&x=0.9&y=0.98")
    shows(here, wanted, large)
    page.locator(".pad").focus()
    page.keyboard.press("Enter")
    shows(here, wanted)
    slide(page, "Direction 1", 2.9)
    shows(here, drawn(address, f"{corner}&x=0.9&y=0.98&edit=d0:2.9"))
    page.go_back()
    page.go_back()
    shows(here, wanted, large)
    page.get_by_label("Way").select_option("lerp")
    shows(here, drawn(address, f"{corner}&x=0.9&y=0.98&mode=lerp"), large)
    page.wait_for_url("**mode=lerp**")
    page.get_by_role("button", name="Top left: another picture").click()
    until(page, "!location.search.includes('corners=3,8')")
    assert ",8,5,42" in page.url


def test_path_is_pinned_put_in_order_and_played(visit: Open, address: str) -> None:
    here = visit()
    page = here.go("/?seed=3")
    page.get_by_role("heading", name="Seed 3", exact=True).wait_for()
    page.keyboard.press("p")
    toast(page, "Pinned: 1 on the path")
    page.keyboard.press("ArrowRight")
    page.get_by_role("heading", name="Seed 4", exact=True).wait_for()
    page.get_by_role("button", name="Pin", exact=True).click()
    toast(page, "Pinned: 2 on the path")
    page.get_by_role("button", name="Play").click()
    page.locator("canvas[data-frames='48']").wait_for()
    page.get_by_role("button", name="Pause").wait_for()  # it plays
    until(page, "Number(document.querySelector('.stage canvas').dataset.frame) > 1")
    page.keyboard.press(" ")
    page.get_by_role("button", name="Play").wait_for()
    page.get_by_role("button", name="Move right Seed 3").click()
    page.wait_for_url("**pins=4,3**")
    page.get_by_role("button", name="One more").click()
    page.locator("canvas[data-frames='72']").wait_for()
    page.get_by_role("button", name="Play").wait_for()  # whoever has paused one wants no other
    pins = page.locator(".pins li")
    pins.nth(1).drag_to(pins.nth(0))
    page.wait_for_url("**pins=3,4,**")
    page.get_by_role("button", name="Remove Seed 4, place 2").click()
    page.locator("canvas[data-frames='48']").wait_for()
    page.go_back()
    page.go_back()
    page.wait_for_url("**pins=4,3,**")
    page.get_by_role("button", name="Remove Seed 4, place 1").click()
    page.locator("canvas[data-frames='48']").wait_for()
    page.get_by_label("Loop: lead back to the first").uncheck()
    page.locator("canvas[data-frames='25']").wait_for()
    page.get_by_label("Ease").select_option("linear")
    page.get_by_label("Way").select_option("spline")
    slide(page, "Speed", 60)
    page.wait_for_url("**mode=spline&ease=linear&loop=false&fps=60**")
    slide(page, "Place in the film", 0)
    shows(here, drawn(address, "/generate.npy?seed=3"))


def test_pins_are_whole_pictures_of_every_kind(visit: Open, address: str) -> None:
    here = visit()
    page = here.go("/?z=" + ",".join(["0.5"] * 100))
    until(page, "document.querySelector('.stage canvas')?.width === 28")
    page.keyboard.press("p")
    toast(page, "Pinned: 1 on the path")
    page.get_by_label("Seed", exact=True).fill("3")
    page.get_by_role("button", name="Show").click()
    page.get_by_role("heading", name="Seed 3", exact=True).wait_for()
    slide(page, "Direction 1", 2.9)
    page.wait_for_url("**edit=d0:2.9**")
    until(page, f"{SHOWN}.includes('edit=d0:2.9')")
    page.get_by_role("button", name="Pin", exact=True).click()
    toast(page, "Pinned: 2 on the path")
    page.keyboard.press("4")
    until(page, "document.querySelector('.result canvas')?.dataset.shown")
    page.keyboard.press("p")
    toast(page, "Pinned: 3 on the path")
    page.keyboard.press("2")
    until(page, "document.querySelector('.panel canvas')?.dataset.shown")
    page.get_by_role("button", name="Pin", exact=True).click()
    toast(page, "Pinned: 4 on the path")
    page.keyboard.press("1")
    page.locator("button.tile").nth(3).hover()
    page.keyboard.press("p")
    toast(page, "Pinned: 5 on the path")
    page.keyboard.press("3")
    page.locator("canvas[data-frames='120']").wait_for()
    assert "/interpolate" in here.requests
    found, edited, mix, place, plain = page.url.split("pins=")[1].split("&")[0].split(",")
    assert (found, edited) == ("_".join(["z0.5"] + ["0.5"] * 99), "3~d0:2.9")
    *corners, x, y = place.removeprefix("at").split("_")
    one = f"x={x}&y={y}&size=0&columns=1&rows=1"
    latent = {"recipes": [{"z": [0.5] * 100}], "format": "npy"}
    wanted = [
        drawn(address, "/generate", latent),
        drawn(address, "/generate.npy?seed=3&edit=d0:2.9"),
        drawn(address, f"/generate.npy?mix={mix.replace('_', ',')}"),
        drawn(address, f"/plane.npy?seeds={','.join(corners)}&{one}"),
        drawn(address, f"/generate.npy?seed={plain}"),
    ]
    other = visit()
    other.go(page.url.removeprefix(address))
    page.get_by_label("Place in the film").wait_for()
    for number, picture in enumerate(wanted):
        slide(page, "Place in the film", 24 * number)
        shows(here, picture)
        shows(other, picture, f".pins li:nth-child({number + 1}) canvas")
    page.get_by_role("button", name="Move right Seed 3, edited: d0:2.9, place 2").click()
    page.wait_for_url(f"**,{mix},3~d0:2.9,**")
    page.keyboard.press("z")
    page.wait_for_url(f"**,3~d0:2.9,{mix},**")
    slide(page, "Variety", 0.5)
    page.wait_for_url(f"**,3~t0.5~d0:2.9,{mix}~t0.5,**")
    until(page, FILM)
    with page.expect_download() as download:
        page.keyboard.press("d")
    recipes = read_recipe(Path(download.value.path()).read_bytes())["recipes"]
    assert recipes[1] == {"seed": 3, "truncation": 0.5, "edit": "d0:2.9"}
    other.page.keyboard.press("5")
    other.page.get_by_role("heading", name="Drop a picture").wait_for()
    drop(other.page, Path(download.value.path()).read_bytes())
    other.page.wait_for_url("**,3~t0.5~d0:2.9,**")
    page.get_by_role("button", name="Open Seed 3, variety 0.5, edited: d0:2.9, place 2").click()
    shows(here, drawn(address, "/generate.npy?seed=3&truncation=0.5&edit=d0:2.9"))
    page.keyboard.press("p")
    toast(page, "Unpinned")


def test_film_that_does_not_come_leaves_none_and_none_plays_unseen(visit: Open) -> None:
    here = visit()
    page = here.go("/?view=path&pins=3,8,5")
    page.locator("canvas[data-frames='72']").wait_for()
    held = hold(page, "**/interpolate.png*", 2)
    page.keyboard.press("r")
    until_held(page, held, 1)
    held[0].fulfill(status=500, json={"detail": "The film tore."})
    page.get_by_role("alert").get_by_text("The film tore.").wait_for()
    assert page.locator(".stage canvas").get_attribute("width") == "1"
    page.keyboard.press("r")
    until_held(page, held, 2)
    page.keyboard.press("2")
    page.locator(".pad").wait_for()
    page.evaluate(
        """() => {
          window.drawings = 0
          const {drawImage} = CanvasRenderingContext2D.prototype
          CanvasRenderingContext2D.prototype.drawImage = function (...all) {
            if (all.length > 5) window.drawings += 1 // a part of a strip
            return drawImage.apply(this, all)
          }
        }"""
    )
    held[1].continue_()
    page.wait_for_timeout(500)
    assert page.evaluate("window.drawings") == 0
    page.keyboard.press("3")
    page.locator("canvas[data-frames='120']").wait_for()
    until(page, "window.drawings > 0")
    forgive(here)


def test_file_on_a_pin_is_opened_and_moves_none(visit: Open, address: str) -> None:
    here = visit()
    page = here.go("/?view=path&pins=3,8,5")
    page.locator(".pins li").nth(2).wait_for()
    drop(page, fetch(f"{address}/generate.png?seed=42"), on=".pins li:nth-child(3)")
    shows(here, drawn(address, "/generate.npy?seed=42"))
    page.keyboard.press("3")
    page.wait_for_url("**pins=3,8,5&**")


def test_old_link_to_a_path_is_the_same_path(visit: Open, address: str) -> None:
    here = visit()
    page = here.go("/?view=path&model=colour&pins=3,8&class=cat&truncation=0.5&edit=d0:0.5")
    page.locator("canvas[data-frames='48']").wait_for()
    slide(page, "Place in the film", 0)
    look = "class=cat&truncation=0.5&edit=d0:0.5"
    shows(here, drawn(address, f"/generate.npy?model=colour&seed=3&{look}"))
    assert page.get_by_label("Class").input_value() == "cat"
    assert "/interpolate.png?model=colour@" in " ".join(here.requests)
    page.get_by_role("button", name="One more").click()
    page.wait_for_url("**pins=3~cat~t0.5~d0:0.5,8~cat~t0.5~d0:0.5,*~cat~t0.5~d0:0.5&**")
    page.get_by_label("Class").select_option("red panda")
    page.wait_for_url("**pins=3~red%20panda~t0.5~d0:0.5,**")


def test_pins_that_another_generator_cannot_draw_are_told_of(visit: Open) -> None:
    page = visit().go(f"/?view=path&model=mnist&pins=3,z{'_'.join(['1'] * 100)},8~d9:1")
    page.locator("canvas[data-frames='72']").wait_for()
    page.get_by_label("Model").select_option(label="colour")
    toast(page, "cannot draw it: 1 of 3 pins")
    page.locator("canvas[data-frames='48']").wait_for()


def test_path_is_no_longer_than_an_address_may_be(visit: Open) -> None:
    numbers = "_".join(["-1.2345"] * 100)
    page = visit().go(f"/?view=path&pins={','.join(['z' + numbers] * 7)}")
    page.locator("canvas[data-frames='168']").wait_for()
    page.get_by_role("button", name="Open A found picture, place 1").click()
    page.get_by_role("heading", name="A found picture").wait_for()
    slide(page, "Variety", 0.5)
    page.wait_for_url("**truncation=0.5**")
    until(page, f"{SHOWN}.includes('truncation=0.5')")
    page.keyboard.press("p")
    toast(page, "its address would be too long")
    page.locator("#tray", has_text="7 pinned").wait_for()


def test_path_is_taken_away_in_every_format(visit: Open) -> None:
    page = visit().go("/?view=path&pins=3,8&loop=true&fps=12")
    page.locator("canvas[data-frames='48']").wait_for()
    found = {}
    for format in ("webp", "apng", "gif", "png", "zip", *(["mp4"] if HAS_VIDEO else [])):
        page.get_by_label("Format").select_option(format)
        with page.expect_download() as download:
            page.keyboard.press("d")
        assert download.value.suggested_filename == f"mnist-path.{format}"
        found[format] = Path(download.value.path()).read_bytes()
    for format in ("webp", "apng", "gif"):
        with Image.open(io.BytesIO(found[format])) as image:
            assert image.n_frames == 48
    assert read_recipe(found["png"])["fps"] == 12
    assert len(zipfile.ZipFile(io.BytesIO(found["zip"])).namelist()) == 49


def test_arithmetic_shows_what_comes_of_it(visit: Open, address: str) -> None:
    here = visit(permissions=["clipboard-read", "clipboard-write"])
    page = here.go(f"/?view=mix&of=3,8,{LAST}")

    def result(*seeds: int) -> np.ndarray:
        weights = zip(seeds, (1, -1, 1), strict=True)
        mix = [{"seed": seed, "weight": weight} for seed, weight in weights]
        return drawn(address, "/generate", {"recipes": [{"mix": mix}], "format": "npy"})

    shows(here, result(3, 8, LAST), ".result canvas")
    offered = page.locator(".mix-view button.tile")
    seed = int(offered.nth(4).get_attribute("aria-label").removeprefix("Seed "))
    page.get_by_role("button", name="b: Seed 8").click()
    offered.nth(4).click()
    shows(here, result(3, seed, LAST), ".result canvas")
    page.locator(".result").click()
    shows(here, result(3, seed, LAST))
    page.wait_for_url(f"**mix=3:1,{seed}:-1,{LAST}:1**")
    page.reload()
    shows(here, result(3, seed, LAST))
    slide(page, "Variety", 0.5)
    page.wait_for_url("**truncation=0.5**")
    words = f"mix=3:1,{seed}:-1,{LAST}:1&truncation=0.5"
    shows(here, drawn(address, f"/generate.npy?{words}"))
    page.get_by_role("button", name="Picture URL").click()
    toast(page, "Copied: Picture URL")
    url = page.evaluate("navigator.clipboard.readText()")
    assert f"{words}&scale=9" in url
    with Image.open(io.BytesIO(fetch(url))) as image:
        assert image.size == (28 * 9, 28 * 9)


# --- find ---


def test_choices_for_a_mix_are_of_the_generator_and_in_order(visit: Open, address: str) -> None:
    here = visit()
    page = here.page
    held = hold(page, "**/generate", 1)
    here.go("/?view=mix&of=3,8,5")
    until_held(page, held, 1)
    page.get_by_label("Model").select_option(label="colour")
    held[0].continue_()
    tiles = page.locator("button.tile")
    tiles.nth(47).wait_for()
    page.wait_for_timeout(200)
    assert page.evaluate("document.querySelector('button.tile canvas').width") == 32
    first, second = (tiles.nth(n).get_attribute("aria-label").split()[1] for n in (0, 1))
    held = hold(page, f"**/i/*/{first}.png", 1)
    for n in (0, 1):
        page.locator(".slot").first.click()
        tiles.nth(n).click()
    until_held(page, held, 1)
    held[0].continue_()
    wanted = drawn(address, f"/generate.npy?model=colour&seed={second}")
    shows(here, wanted, ".slot >> nth=0 >> canvas")


def test_file_from_here_is_restored(visit: Open, address: str) -> None:
    here = visit()
    page = here.go("/")
    page.get_by_role("button", name="Seed").first.wait_for()
    edited = f"seed={LAST}&truncation=0.7&edit=d0:1.5"
    for path in (f"/generate.png?{edited}", f"/generate.webp?{edited}&scale=2&quality=50"):
        drop(page, fetch(address + path))
        shows(here, drawn(address, f"/generate.npy?{edited}"))
        toast(page, f"Restored from the file: Seed {LAST}, variety 0.7")
        page.keyboard.press("5")
        page.get_by_role("heading", name="Drop a picture").wait_for()
    drop(page, fetch(f"{address}/interpolate.gif?seeds=3,8&loop=true&fps=7"))
    page.locator("canvas[data-frames='48']").wait_for()
    look = "truncation=0.7&edit=d0:1.5"
    plane = f"seeds=3,8,5,42&mode=lerp&{look}"
    drop(page, fetch(f"{address}/plane.png?{plane}&columns=4&rows=4&x=0.5&size=0.5"))
    shows(here, drawn(address, f"/plane.npy?{plane}&columns=9&rows=9"), ".pad canvas")
    place = f"{plane}&columns=1&rows=1&x=0.75&y=0.25&size=0"
    shows(here, drawn(address, f"/plane.npy?{place}"), ".panel canvas.large")
    drop(page, fetch(f"{address}/plane.png?{place}"))
    shows(here, drawn(address, f"/plane.npy?{place}"))
    drop(page, fetch(f"{address}/generate.png?model=colour&seed=12&n=4&class=cat&truncation=0.7"))
    tile = page.get_by_role("button", name="Seed 12, cat, variety 0.7")
    tile.wait_for()
    assert page.get_by_label("Model").input_value().startswith("colour@")
    drop(page, fetch(f"{address}/generate.png?seed=12&n=4&{look}"))
    tile = page.get_by_role("button", name="Seed 13, variety 0.7, edited: d0:1.5", exact=True)
    tile.wait_for()
    shows(here, drawn(address, f"/generate.npy?seed=13&{look}"), "button.tile >> nth=1 >> canvas")
    page.get_by_role("button", name="Without variety 0.7, edited: d0:1.5").click()
    page.get_by_role("button", name="Seed 13", exact=True).click()
    shows(here, drawn(address, "/generate.npy?seed=13"))


def test_file_that_is_not_from_here_is_told_of(visit: Open, strict: str, address: str) -> None:
    here = visit(address=strict)
    here.context.add_init_script(f"sessionStorage.setItem('ganserve-key', '{KEY}')")
    page = here.go("/?view=find")
    foreign = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(foreign, "png")
    drop(page, foreign.getvalue())
    page.get_by_role("heading", name="No recipe in this file").wait_for()
    assert "GAN_PROJECTION=true" in page.locator(".notice").inner_text()
    drop(page, b"no picture at all")
    page.get_by_role("heading", name="No picture").wait_for()
    drop(page, fetch(f"{address}/generate.webp?seed=1"))
    page.get_by_role("heading", name="Its generator is not served here").wait_for()


def test_picture_from_elsewhere_is_looked_for(visit: Open, address: str, tmp_path: Path) -> None:
    here = visit()
    page = here.go("/?view=find&model=colour")
    with Image.open(io.BytesIO(fetch(f"{address}/generate.png?seed=42&model=colour"))) as image:
        image.resize((96, 96), Image.Resampling.NEAREST).save(tmp_path / "copy.jpg", quality=95)
    page.locator("input[type=file]").set_input_files(tmp_path / "copy.jpg")
    page.get_by_text("the square in its middle is sent to").wait_for()
    assert not any(path.startswith("/project") for path in here.requests)
    page.get_by_role("button", name="Send it and look").click()
    page.locator(".search canvas[data-step='400']").wait_for()
    page.get_by_text("% off). Done.").wait_for()
    found = here.pixels(".search canvas[data-step]")
    assert found.shape == (32, 32, 4)
    page.keyboard.press("p")
    toast(page, "Pinned: 1 on the path")
    page.get_by_role("button", name="Open it").click()
    page.get_by_role("heading", name="A found picture").wait_for()
    z = page.url.split("&z=")[1]
    same = drawn(address, f"/generate.npy?model=colour&z={z}")
    assert np.array_equal(found, same)  # its address says all of it
    shows(here, same)
    page.reload()
    shows(here, same)
    slide(page, "Variety", 0.5)
    page.wait_for_url("**truncation=0.5**")
    shows(here, drawn(address, f"/generate.npy?model=colour&z={z}&truncation=0.5"))


# --- take away ---


def test_picture_is_taken_away_in_every_form(visit: Open, address: str) -> None:
    here = visit(permissions=["clipboard-read", "clipboard-write"])
    page = here.go("/?seed=42&edit=d0:1")
    shows(here, drawn(address, "/generate.npy?seed=42&edit=d0:1"))

    def copied(name: str) -> str:
        page.get_by_role("button", name=name, exact=True).click()
        toast(page, f"Copied: {name}")
        return str(page.evaluate("navigator.clipboard.readText()"))

    assert copied("Link to this page") == page.url
    plain = fetch(f"{address}/generate.png?seed=42&edit=d0:1&scale=9&resample=lanczos")
    assert fetch(copied("Picture URL")) == plain
    assert copied("Markdown").startswith("![Seed 42, edited: d0:1](http")
    tag = copied("<img> tag")
    page.evaluate("tag => (document.body.insertAdjacentHTML('beforeend', tag))", tag)
    image = page.locator("body > img")
    image.evaluate("image => image.decode()")
    assert image.evaluate("image => image.naturalWidth") == 28 * 9
    command = copied("curl")
    assert command.split("'")[1].startswith(address)
    code = copied("Python")
    names: dict[str, Any] = {}
    compile(code, "copied", "exec")
    exec(code.rsplit("\n", 2)[0], names)  # all but the line that writes the file
    assert fetch(names["request"]) == plain
    page.get_by_role("button", name="Picture", exact=True).click()
    toast(page, "Copied: the picture")
    size = "async () => (await (await navigator.clipboard.read())[0].getType('image/png')).size"
    assert page.evaluate(size) > 100
    page.get_by_label("Format").select_option("webp")
    page.get_by_label("Size").select_option("1")
    with page.expect_download() as download:
        page.keyboard.press("d")
    assert download.value.suggested_filename == "mnist-42.webp"
    saved = Path(download.value.path()).read_bytes()
    assert saved == fetch(f"{address}/generate.webp?seed=42&edit=d0:1")


def test_favourites_stay_and_travel_as_a_file(visit: Open, address: str) -> None:
    here = visit()
    page = here.go("/?seed=42&edit=d0:1")
    shows(here, drawn(address, "/generate.npy?seed=42&edit=d0:1"))
    page.keyboard.press("f")
    toast(page, "Favourite: Seed 42")
    page.keyboard.press("6")
    name = "Seed 42, edited: d0:1"
    page.get_by_label("Favourites").get_by_role("button", name=name).wait_for()
    page.get_by_label("Seen lately").get_by_role("button", name=name).wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    saved = Path(download.value.path())
    other = visit()
    page = other.go("/?view=saved")
    page.get_by_role("heading", name="No favourites yet").wait_for()
    page.locator("input[type=file]").set_input_files(saved)
    toast(page, "1 new of 1 in the file")
    page.reload()
    page.get_by_label("Favourites").get_by_role("button", name=name).click()
    shows(other, drawn(address, "/generate.npy?seed=42&edit=d0:1"))
    page.keyboard.press("f")
    toast(page, "No favourite any more")


def test_favourites_are_never_lost_for_others(visit: Open, tmp_path: Path) -> None:
    here = visit()
    page = here.go("/?seed=7")
    page.get_by_role("heading", name="Seed 7").wait_for()
    page.keyboard.press("f")
    model = page.url.split("model=")[1].split("&")[0]
    pictures = [{"model": model, "seed": str(n), "truncation": 1, "edit": {}} for n in range(600)]
    (tmp_path / "many.json").write_text(json.dumps({"ganserve": 1, "pictures": pictures}))
    page.keyboard.press("6")
    page.locator("input[type=file]").set_input_files(tmp_path / "many.json")
    toast(page, "499 new of 600 in the file; there is no room for 100")
    mine = page.get_by_label("Favourites").get_by_role("button", name="Seed 7", exact=True)
    assert mine.count() == 1
    here.go("/?seed=777")
    page.get_by_role("heading", name="Seed 777").wait_for()
    page.keyboard.press("f")
    toast(page, "There is room for 500 favourites; remove one first.")
    page.keyboard.press("6")
    mine.focus()
    page.keyboard.press("f")
    toast(page, "No favourite any more")
    mine.wait_for(state="detached")


def test_models_tell_what_they_are_and_of_what(visit: Open, address: str) -> None:
    here = visit()
    page = here.go("/?view=models")
    card = page.locator(".card", has=page.get_by_role("heading", name="mnist"))
    text = card.inner_text()
    for words in (
        "28 \N{MULTIPLICATION SIGN} 28, grey",
        "60,000",
        "Yann LeCun",
        "python -m model.training train --preset dcgan-mnist --data mnist",
    ):
        assert words in text
    shows(here, drawn(address, "/generate.npy?seed=0&n=32&columns=8"), ".card >> nth=0 >> .sheet")
    page.get_by_role("button", name="Explore colour").click()
    page.get_by_role("button", name="red panda").wait_for()


def test_long_words_of_a_card_stay_in_it(visit: Open) -> None:
    here = visit(viewport={"width": 360, "height": 740})

    def wordy(route: Any) -> None:
        answer = route.fetch()
        card = answer.json()
        card["training"]["licence"] = "https://" + "x" * 400
        route.fulfill(response=answer, json=card)

    here.page.route("**/models/mnist@*", wordy)
    page = here.go("/?view=models")
    page.get_by_text("xxx").wait_for()
    assert page.evaluate(WIDE) == []


# --- manners ---


def test_all_is_done_with_the_keyboard_alone(visit: Open, address: str) -> None:
    here = visit()
    page = here.go("/?grid=0")
    page.get_by_role("button", name="Seed 0", exact=True).wait_for()

    def tab_to(selector: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("wanted => document.activeElement.matches(wanted)", selector):
                return
        raise AssertionError(f"Tab never comes to {selector}")

    tab_to("button.tile")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    label = page.evaluate("document.activeElement.ariaLabel")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name=label, exact=True).wait_for()
    seed = int(label.removeprefix("Seed "))
    shows(here, drawn(address, f"/generate.npy?seed={seed}"))
    tab_to(".slider input")
    page.keyboard.press("End")
    shows(here, drawn(address, f"/generate.npy?seed={seed}&edit=d0:2.9"))
    page.keyboard.press("f")
    toast(page, "Favourite")
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Help").wait_for()
    assert "Copy the link" in page.get_by_role("dialog").inner_text()
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="hidden")
    page.keyboard.press("Escape")
    page.get_by_role("heading", name="A neural network invented these").wait_for()
    for key, name in zip("23456789", VIEWS_NAMED, strict=True):
        page.keyboard.press(key)
        page.get_by_role("heading", level=1, name=name).wait_for()
    page.keyboard.press("?")
    page.get_by_label("Use single keys").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("1")
    page.wait_for_timeout(100)
    assert page.get_by_role("heading", level=1, name="How it learnt to draw").is_visible()


VIEWS_NAMED = [
    "Plane",
    "Pin two pictures or more",
    "Mix",
    "Drop a picture",
    "Favourites",
    "About",
    "Names",
    "How it learnt to draw",
]


@pytest.mark.parametrize("name", VIEWS)
def test_axe_finds_nothing_and_nothing_is_wider_than_the_window(visit: Open, name: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not there")
    here = visit(reduced_motion="reduce")
    page = here.go(VIEWS[name])
    here.settle()
    if name == "find":
        page.keyboard.press("?")  # the list of keys is looked over with it
    look_over(page, axe)


@pytest.mark.parametrize("name", ["focus", "path"])
def test_axe_finds_nothing_where_sizes_are_told_of(visit: Open, upscaled: str, name: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not there")
    here = visit(address=upscaled, reduced_motion="reduce")
    page = here.go(VIEWS[name])
    page.get_by_label("Size").select_option("8")
    page.get_by_text("256 px is smooth: the upscaler has 64 and 128.").wait_for()
    here.settle()
    look_over(page, axe)


def look_over(page: Any, axe: Any) -> None:
    """Looks for faults in light and dark, and for what does not fit into windows of many widths."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = axe.Axe().run(page).response["violations"]
        assert [(one["id"], one["nodes"][0]["target"]) for one in found] == [], scheme
    for width in (360, 800, 1024, 2560):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(SMALL) == []
        assert page.evaluate(WIDE) == []


SMALL = """[...document.querySelectorAll("main button, nav a, header button, main select")]
  .filter(one => one.checkVisibility())
  .map(one => [one.innerText || one.ariaLabel, one.getBoundingClientRect()])
  .filter(([_, box]) => box.width < 24 || box.height < 24)"""


WIDE = """[...document.querySelectorAll("main *")]
  .filter(one => one.checkVisibility() && one.getBoundingClientRect().right > innerWidth + 1)
  .map(one => one.outerHTML.slice(0, 80))"""


@pytest.mark.parametrize("path", ["/?grid=0", "/?view=plane&corners=3,8,5,42"])
def test_long_looks_fit_into_the_window(visit: Open, path: str) -> None:
    here = visit(viewport={"width": 360, "height": 800})
    edits = ",".join(f"d{n}:-1.25" for n in range(8))
    page = here.go(f"{path}&truncation=0.7&edit={edits}")
    page.get_by_role("button", name="Without variety 0.7").wait_for()
    for width in (360, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(WIDE) == []


def test_skip_link_leaves_the_history_alone(visit: Open) -> None:
    page = visit().go("/?grid=0")
    page.keyboard.press("4")
    page.get_by_role("heading", name="Mix").wait_for()
    page.locator(".skip").focus()
    page.keyboard.press("Enter")
    until(page, "document.activeElement.id === 'main'")
    page.keyboard.press("z")
    page.get_by_role("button", name="Seed 0", exact=True).wait_for()


def test_motion_is_reduced_where_that_is_wished(visit: Open) -> None:
    page = visit(reduced_motion="reduce").go("/?view=path&pins=3,8")
    page.locator("canvas[data-frame='0']").wait_for()
    page.wait_for_timeout(200)
    assert page.locator("canvas[data-frame='0']").count() == 1
    page.keyboard.press(" ")
    until(page, "Number(document.querySelector('.stage canvas').dataset.frame) > 1")


# --- when the service will not ---


@pytest.mark.parametrize(("pattern", "status"), [("**/models", 503), ("**/generate.png*", 429)])
def test_busy_service_is_waited_for_and_told_of(visit: Open, pattern: str, status: int) -> None:
    here = visit()
    refusing(here, pattern, status, 1)
    here.page.goto(here.address + "/?grid=0", wait_until="commit")
    here.page.get_by_text("The service is busy: asking again in 1 s.").wait_for()
    here.page.get_by_role("button", name="Seed 0", exact=True).wait_for()
    assert here.page.locator("#wait").is_hidden()
    forgive(here)


def test_wait_is_told_of_until_nothing_waits(visit: Open) -> None:
    here = visit()
    refusing(here, "**/generate.png*", 429, 2)
    held = hold(here.page, "**/directions", 1)
    here.page.goto(here.address + "/?grid=0", wait_until="commit")
    busy = here.page.get_by_text("The service is busy")
    busy.wait_for()
    until_held(here.page, held, 1)
    held[0].continue_()
    here.page.get_by_text("A GAN has looked at").wait_for()  # something has been answered
    assert busy.is_visible()
    here.page.get_by_role("button", name="Seed 0", exact=True).wait_for()
    assert not busy.is_visible()
    forgive(here)


def test_service_that_is_away_is_waited_for(visit: Open) -> None:
    here = visit()
    page = here.go("/?grid=0")
    page.get_by_role("button", name="Seed 0", exact=True).wait_for()
    here.context.set_offline(True)
    page.keyboard.press("r")
    page.get_by_text("The service does not answer: asking again in 1 s.").wait_for()
    assert page.get_by_role("button", name="Seed 0", exact=True).is_visible()  # it stays meanwhile
    here.context.set_offline(False)
    page.get_by_role("button", name="Seed 0", exact=True).wait_for(state="detached")
    page.locator("#wait").wait_for(state="hidden")
    page.locator("button.tile").nth(20).wait_for()
    forgive(here)


def test_failure_is_shown_with_its_reason_and_a_way_out(visit: Open) -> None:
    here = visit()
    refusing(here, "**/generate.png*", 500, 99, "The service failed.")
    page = here.go("/?grid=0")
    page.get_by_role("alert").get_by_text("The service failed.").wait_for()
    page.unroute("**/generate.png*")
    page.keyboard.press("?")
    page.get_by_role("dialog").get_by_text("Everywhere").wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("1")  # it is tried again
    page.locator("button.tile").nth(20).wait_for()
    refusing(here, "**/generate.png*", 500, 99, "The service failed.")
    page.keyboard.press("r")
    page.get_by_role("alert").wait_for()
    page.unroute("**/generate.png*")
    assert page.locator("button.tile").count() > 20  # what was shown stays
    page.get_by_role("button", name="Try again").click()
    page.get_by_role("alert").wait_for(state="detached")
    page.locator("button.tile").nth(20).wait_for()
    forgive(here)


def test_link_to_what_is_no_longer_served_says_so(visit: Open, address: str) -> None:
    here = visit()
    page = here.go("/?seed=42&model=mnist@000000000000&edit=d0:1")
    toast(page, "mnist@000000000000 is not served here")
    shows(here, drawn(address, "/generate.npy?seed=42&edit=d0:1"))


def test_narrow_bounds_and_a_key_break_nothing(visit: Open, strict: str) -> None:
    here = visit(address=strict)
    page = here.page
    page.goto(f"{strict}/?grid=0")
    page.get_by_role("dialog", name="This host wants an API key").wait_for()
    page.get_by_label("Key", exact=True).fill("a wrong one")
    page.get_by_role("button", name="Use it").click()
    page.get_by_role("dialog").wait_for()
    page.get_by_label("Key", exact=True).fill(KEY)
    page.keyboard.press("Enter")
    tiles = page.locator("button.tile")
    tiles.nth(3).wait_for()
    assert 4 <= tiles.count() <= 9  # 5,000 pixels are six pictures of 28 by 28
    tiles.nth(3).click()
    until(page, "document.querySelector('.stage canvas')?.width === 28")
    assert page.locator(".slider").count() == 2
    here.go("/?view=plane&corners=1,2,3,4")
    until(page, "document.querySelector('.panel canvas')?.width === 28")
    here.go("/?view=path&pins=1,2,3")
    page.locator("canvas[data-frames='6']").wait_for()
    page.get_by_role("button", name="One more").click()
    toast(page, "A path has no more pins on this host.")
    here.go("/?view=mix&of=1,2,3")
    until(page, "document.querySelector('.result canvas')?.width === 28")
    page.locator("button.tile").nth(3).wait_for()
    forgive(here)
