"""The explorer as people meet it: what it says first, what it keeps, what it hands over, on every
window, and when the service is replaced or refuses in the middle of it.
"""

import io
import json
import re
import shutil
import signal
import urllib.request
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image

from benchmarks.page import held_after
from model.generator_file import read_generator_file
from model.generators import DEFAULT, ZOO
from model.training.__main__ import parser
from model.training.run.history import write_history
from tests.browsing import (
    PHONE,
    VIEWS,
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
    visiting,
    wait_for,
    window,
)
from tests.conftest import write_tiny_generator, write_tiny_residual
from tests.services import fetch, service
from tests.tiny_runs import LEVELS, write_flat_run

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Open = Callable[..., Visit]
CLIPBOARD = {"permissions": ["clipboard-read", "clipboard-write"]}


@pytest.fixture(scope="module")
def address(usual_address: str) -> str:
    return usual_address


def clipboard(page: Any) -> str:
    return str(page.evaluate("navigator.clipboard.readText()"))


# --- what is seen first ---


def test_first_view_says_what_it_is_and_hands_over_a_line_of_html(
    visit: Open, address: str
) -> None:
    here = visit(**CLIPBOARD, **window("laptop"))
    page = here.go("/?grid=0")
    page.get_by_role("heading", level=1, name="A neural network invented these").wait_for()
    hero = page.locator(".hero")
    hero.get_by_text("A GAN has looked at 36,000 pictures").wait_for()
    for words in ("free to use", "Licence"):
        assert words in hero.inner_text()
    page.get_by_label("Name: any text or number").fill("Ada & Grace")
    page.locator(".sizes[data-name='Ada & Grace']").wait_for()
    sides = page.locator(".hero .sizes canvas").evaluate_all(
        "all => all.map(one => one.clientWidth)"
    )
    assert sides == [128, 64, 32]
    wanted = drawn(address, "/generate.npy?seed=Ada%20%26%20Grace&scale=2&resample=learned")
    shows(here, wanted, ".hero .s64")
    page.get_by_role("button", name="Copy the line of HTML").click()
    toast(page, "Copied: one line of HTML")
    line = clipboard(page)
    assert line == page.locator(".line code").inner_text()
    assert line == (
        f'<img src="{address}/generate?seed=Ada%20%26%20Grace" width="64" height="64" '
        'alt="Ada &amp; Grace">'
    )
    page.evaluate("tag => document.body.insertAdjacentHTML('beforeend', tag)", line)
    image = page.locator("body > img")
    image.evaluate("image => image.decode()")
    assert image.get_attribute("alt") == "Ada & Grace"
    bottom = page.locator(".made").evaluate("made => made.getBoundingClientRect().bottom")
    assert bottom < 720
    page.get_by_label("Model").select_option(label="colour")
    page.get_by_role("button", name="red panda").click()
    page.locator(".line code", has_text="&amp;model=colour&amp;class=red%20panda").wait_for()


def test_what_is_asked_for_ahead_is_asked_for_once(visit: Open) -> None:
    here = visit()
    here.go("/?grid=0")
    here.settle()
    known = [path for path in here.requests if path.startswith("/models")]
    assert len(known) == len(set(known)) == 3


def test_name_that_is_none_is_told_and_asked_for_by_nobody(visit: Open) -> None:
    here = visit()
    page = here.go("/?grid=0")
    here.settle()
    here.requests.clear()
    page.get_by_label("Name: any text or number").fill("1.5")
    page.get_by_text("Numbers are whole").wait_for()
    here.settle()
    assert here.requests == []
    assert "seed=1.5" not in page.locator(".line code").inner_text()


def test_typing_makes_no_backlog(visit: Open) -> None:
    here = visit()
    page = here.go("/?grid=0")
    here.settle()
    page.mouse.move(300, 300)  # the next view is loaded now
    next_view = "/page/variations.js"
    wait_for(page, lambda: next_view in here.requests and not here.underway, "it is here")
    here.most_underway = here.underway
    name = "somebody with a long name"
    page.get_by_label("Name: any text or number").press_sequentially(name, delay=5)
    page.locator(f".sizes[data-name='{name}']").wait_for()
    assert here.most_underway == 1


def test_name_to_html_is_two_taps_and_three_pins_to_a_shared_film_six(visit: Open) -> None:
    here = visit(**PHONE, **CLIPBOARD)
    here.page.add_init_script("navigator.share = async words => { window.shared = words }")
    page = here.go("/?grid=0")
    here.settle()
    taps = 0

    def tap(target: Any) -> None:
        nonlocal taps
        target.tap()
        taps += 1

    tap(page.get_by_label("Name: any text or number"))
    page.keyboard.type("ada")
    page.locator(".line code", has_text="seed=ada").wait_for()
    tap(page.get_by_role("button", name="Copy the line of HTML"))
    toast(page, "Copied")
    assert ("seed=ada" in clipboard(page), taps) == (True, 2)
    taps = 0
    tap(page.get_by_role("button", name="Pin several"))
    for seed in (0, 1, 2):
        tap(page.get_by_role("button", name=f"Seed {seed}", exact=True))
    tap(page.get_by_role("button", name="Play"))
    page.locator("canvas[data-frames='72']").wait_for()
    tap(page.get_by_role("button", name="Share", exact=True))
    until(page, "window.shared !== undefined")
    assert (page.evaluate("window.shared.url"), taps) == (page.url, 6)
    assert "pins=0,1,2" in page.url


# --- nothing is lost, nothing is mistaken ---


def test_two_tabs_keep_each_other_s_favourites(visit: Open) -> None:
    here = visit()
    first = here.go("/?seed=7")
    second = here.context.new_page()
    second.goto(here.address + "/?view=saved")
    second.get_by_role("heading", name="No favourites yet").wait_for()
    first.get_by_role("heading", name="Seed 7", exact=True).wait_for()
    first.keyboard.press("f")
    toast(first, "Favourite: Seed 7")
    there = second.get_by_label("Favourites")
    there.get_by_role("button", name="Seed 7", exact=True).wait_for()  # by itself
    second.goto(here.address + "/?seed=8")
    second.get_by_role("heading", name="Seed 8", exact=True).wait_for()
    second.evaluate("dispatchEvent = () => true")  # whatever it heard, it writes no old list
    second.keyboard.press("f")
    toast(second, "Favourite: Seed 8")
    first.keyboard.press("6")
    for seed in (7, 8):
        first.get_by_label("Favourites").get_by_role(
            "button", name=f"Seed {seed}", exact=True
        ).wait_for()


def test_browser_that_keeps_nothing_is_told_of(visit: Open) -> None:
    here = visit()
    here.page.add_init_script(
        "Object.defineProperty(window, 'localStorage', {get() { throw new Error('no') }})"
    )
    page = here.go("/?view=saved")
    page.get_by_text("This browser keeps nothing").wait_for()
    other = visit().go("/?view=saved")
    assert not other.get_by_text("This browser keeps nothing").is_visible()


def test_favourite_is_removed_without_opening_it(visit: Open) -> None:
    page = visit(**PHONE).go("/?seed=7")
    page.get_by_role("heading", name="Seed 7", exact=True).wait_for()
    page.get_by_role("button", name="Favourite").tap()
    page.get_by_role("link", name="Saved").tap()
    tile = page.get_by_label("Favourites").get_by_role("button", name="Seed 7", exact=True)
    tile.wait_for()
    page.get_by_role("button", name="Remove some").tap()
    tile.tap()
    page.get_by_role("heading", name="No favourites yet").wait_for()


def test_name_and_picture_change_together(visit: Open, address: str) -> None:
    here = visit(**CLIPBOARD)
    page = here.go("/?seed=42")
    page.get_by_role("heading", name="Seed 42", exact=True).wait_for()
    shows(here, drawn(address, "/generate.npy?seed=42&scale=4&resample=learned"))
    held: list[Any] = []
    failed = {"status": 500, "json": {"detail": "The service failed."}}
    page.route(
        "**/43.png",
        lambda route: route.fulfill(**failed) if held else held.append(route),
    )
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**seed=43**")
    until_held(page, held, 1)
    assert page.get_by_role("heading", level=1).inner_text() == "Seed 42"
    assert page.title().startswith("Seed 42")
    page.keyboard.press("f")
    toast(page, "Favourite: Seed 42")
    page.keyboard.press("p")
    page.wait_for_timeout(50)
    assert (
        page.get_by_role("button", name="Pin", exact=True).get_attribute("aria-pressed") == "true"
    )
    page.keyboard.press("c")
    toast(page, "Copied: Link")
    assert parse_qs(urlsplit(clipboard(page)).query)["seed"] == ["42"]
    held[0].fulfill(**failed)
    alert = page.get_by_role("alert").filter(
        has_text="Seed 43 cannot be drawn. The service failed."
    )
    alert.wait_for()
    assert page.get_by_role("heading", level=1).inner_text() == "Seed 42"
    page.unroute("**/43.png")
    alert.get_by_role("button", name="Try again").click()
    page.get_by_role("heading", name="Seed 43", exact=True).wait_for()
    assert not alert.is_visible()
    assert page.title().startswith("Seed 43")
    is_pinned = page.get_by_role("button", name="Pin", exact=True).get_attribute("aria-pressed")
    assert is_pinned == "false"
    forgive(here)


@pytest.mark.parametrize(
    ("path", "pattern", "seen"),
    [
        ("/?view=plane&corners=3,8,5,42", "**/plane.png*", ".pad canvas:not([width='1'])"),
        ("/?view=path&pins=3,8", "**/interpolate.png*", "canvas[data-frames]"),
    ],
)
def test_what_fails_is_told_above_the_view_and_tried_again(
    visit: Open, path: str, pattern: str, seen: str
) -> None:
    here = visit()
    refusing(here, pattern, 500, 1, "The map tore.")
    page = here.go(path)
    alert = page.get_by_role("alert").filter(has_text="The map tore.")
    alert.get_by_role("button", name="Try again").click()
    page.locator(seen).wait_for()
    assert not alert.is_visible()
    forgive(here)


def other_mix(page: Any) -> None:
    page.locator(".mix-view button.tile").nth(4).click()


def other_place(page: Any) -> None:
    page.locator(".pad").press("ArrowRight")


@pytest.mark.parametrize(
    ("path", "canvas", "pattern", "another", "seen"),
    [
        pytest.param(
            "/?view=mix&of=3,8,5",
            ".result canvas",
            "**/generate.png?*mix=*",
            other_mix,
            "3 \N{MINUS SIGN} 8 + 5",
            id="mix",
        ),
        pytest.param(
            "/?view=plane&corners=3,8,5,42",
            ".frame canvas",
            "**/plane.png?*size=0*",
            other_place,
            "50 % across, 50 % down",
            id="plane",
        ),
    ],
)
def test_mix_and_plane_pin_what_is_seen(
    visit: Open, path: str, canvas: str, pattern: str, another: Callable[[Any], None], seen: str
) -> None:
    here = visit()
    page = here.go(path)
    until(page, f"document.querySelector('{canvas}').dataset.shown")
    held: list[Any] = []

    def pass_or_hold(route: Any) -> None:
        if "scale=" in route.request.url:  # what is seen, enlarged when it has rested
            return route.continue_()
        return held.append(route)

    page.route(pattern, pass_or_hold)
    another(page)
    until_held(page, held, 1)
    page.keyboard.press("p")
    toast(page, "Pinned: 1 on the path")
    held[0].continue_()
    page.unroute(pattern)
    page.keyboard.press("3")
    page.get_by_role("heading", name="Pin two pictures or more").wait_for()
    pinned = page.locator("button.tile[aria-pressed='true']")
    pinned.wait_for()
    assert pinned.get_attribute("aria-label") == seen


REMEMBER_WAIT = """() => {
  const line = document.querySelector("#wait")
  window.told = ""
  const remember = () => { if (!line.hidden) window.told += line.textContent }
  new MutationObserver(remember).observe(line, {attributes: true, childList: true})
}"""


@pytest.mark.parametrize(
    ("name", "status"),
    [  # each status, and each view
        *(("grid", status) for status in (429, 502, 503, 504)),
        *(("focus", 429), ("plane", 502), ("path", 503), ("mix", 504), ("names", 429)),
    ],
)
def test_gateway_that_refuses_in_the_middle_loses_nothing(
    visit: Open, name: str, status: int
) -> None:
    here = visit()
    page = here.go(VIEWS[name])
    here.settle()
    before = page.locator("main canvas").count()
    patterns = {"plane": "**/plane.png*", "path": "**/interpolate.png*"}
    pattern = patterns.get(name, "**/generate*" if name != "focus" else "**/i/**")
    left = refusing(here, pattern, status, 10)  # one may be of a request that another has replaced
    page.evaluate(REMEMBER_WAIT)

    def told() -> bool:
        if left[0] == 10 and here.underway == 0:  # nothing has been asked for yet
            if name == "names":
                page.get_by_label("Names, one a line").fill("ada\nbo\ncy")
                page.get_by_role("button", name="Show them").click()
            else:
                page.keyboard.press("r")
        return "asking again in 1 s." in page.evaluate("window.told")

    wait_for(page, told, "the wait is told of")
    page.unroute(pattern)
    assert page.locator("main canvas").count() >= min(before, 20)
    page.locator("#wait").wait_for(state="hidden")
    here.settle()
    assert page.get_by_role("alert").filter(visible=True).count() == 0
    forgive(here)


@pytest.mark.parametrize("status", [404, 500, 502])
def test_part_of_the_page_that_does_not_arrive_is_asked_for_again(visit: Open, status: int) -> None:
    here = visit()
    page = here.go("/?grid=7&class=kitten")
    page.get_by_role("button", name="Seed 7, kitten", exact=True).wait_for()
    refusing(here, "**/page/plane.js*", status, 1 if status == 502 else 2, "gone")
    page.keyboard.press("2")
    if status != 502:
        alert = page.get_by_role("alert")
        alert.get_by_text("This part of the page did not arrive.").wait_for()
        assert page.get_by_role("button", name="Seed 7, kitten", exact=True).is_visible()
        alert.get_by_role("button", name="Try again").click()
    page.get_by_role("heading", name="Plane").wait_for()
    page.keyboard.press("1")
    page.get_by_role("button", name="Seed 7, kitten", exact=True).wait_for()
    forgive(here)


PARTS = {
    "files": (".line button", "#toast >> text=Copied"),
    "shortcuts_dialog": ("button[title='Help (?)']", "dialog >> text=Keys"),
    "export_panel": ("details.sharing > summary", "details >> text=Copy HTML"),
}


@pytest.mark.parametrize("status", [404, 502])
@pytest.mark.parametrize("name", PARTS)
def test_part_of_a_view_that_does_not_arrive_is_asked_for_again(
    visit: Open, name: str, status: int
) -> None:
    here = visit(**CLIPBOARD)
    page = here.go("/?grid=7")
    here.settle()
    pressed, seen = PARTS[name]
    # the pointer alone loads the next view, which may want the same part: none of it arrives
    left = refusing(here, f"**/page/{name}.js*", status, 1 if status == 502 else 99, "gone")
    page.locator(pressed).click()
    if status == 404:
        toast(page, "This part of the page did not arrive.")
        left[0] = 0
        if name == "export_panel":
            page.locator(pressed).click()  # what was opened is closed
        page.locator(pressed).click()
    page.locator(seen).first.wait_for()
    forgive(here)


def test_page_goes_on_when_its_generator_is_replaced(browser: Any, tmp_path: Path) -> None:
    folder = write_tiny_residual(tmp_path / "colour")
    host = service(folder, GAN_KEEP_RELOADED="0")
    with host as (process, address), visiting(browser, address) as visit:
        pages = {name: visit() for name in ("grid", "focus", "path")}
        for name, here in pages.items():
            here.go(VIEWS[name])
            here.settle()
        old = json.loads(fetch(f"{address}/models"))["default"]
        shutil.rmtree(folder)
        write_tiny_generator(tmp_path / "other").rename(folder)
        process.send_signal(signal.SIGHUP)
        wait_for(
            pages["grid"].page,
            lambda: json.loads(fetch(f"{address}/models"))["default"] != old,
            "the generator is replaced",
        )
        new = json.loads(fetch(f"{address}/models"))["default"]
        for here in pages.values():
            here.page.keyboard.press("r")
            toast(here.page, f"{old} is not served here; this is {new}")
            here.page.wait_for_url(f"**model={new}**")
            alerts = here.page.get_by_role("alert").filter(visible=True)
            wait_for(here.page, partial(_none, alerts), "nothing is wrong")
            forgive(here)
        shows(pages["focus"], drawn(address, f"/generate.npy?seed={seed_of(pages['focus'])}"))


def _none(found: Any) -> bool:
    return bool(found.count() == 0)


def seed_of(here: Visit) -> str:
    return parse_qs(urlsplit(here.page.url).query)["seed"][0]


@pytest.mark.parametrize("shuffles", [25, pytest.param(150, marks=pytest.mark.long)])
def test_page_holds_no_more_after_many_shuffles_than_after_ten(
    browser: Any, address: str, shuffles: int
) -> None:
    few, many = held_after(browser, address, (10, shuffles))
    assert few.images > 4 * 2**20  # it keeps some
    assert many.memory <= 1.3 * few.memory
    assert many.urls <= few.urls
    assert many.nodes <= 1.3 * few.nodes
    assert many.listeners <= 1.3 * few.listeners


def test_command_that_trains_a_generator_again_is_one(browser: Any) -> None:
    served = service(ZOO / "mnist", GAN_MODELS="fashion-mnist")
    with served as (_, address), visiting(browser, address) as visit:
        page = visit().go("/?view=models")
        commands = page.locator("code", has_text="python -m model.training")
        commands.nth(1).wait_for()
        for command in commands.all_inner_texts():
            words = command.removeprefix("python -m model.training ").split()
            options = parser("python -m model.training", words[0]).parse_args(words)
            assert options.preset
            assert options.data


# --- without scripts, in previews ---


def test_page_without_scripts_shows_what_its_address_says(visit: Open) -> None:
    here = visit(java_script_enabled=False)
    page = here.page
    for path, alt, picture in (
        ("/?seed=ada&class=kitten", "ada", "/generate.png?seed=ada&class=kitten"),
        ("/?view=plane&corners=1,2,3,4", "A plane", "/plane.png?seeds=1,2,3,4"),
    ):
        here.requests.clear()
        page.goto(here.address + path)
        assert page.locator("noscript img, .samples img").first.get_attribute("alt").startswith(alt)
        wait_for(page, partial(_asked, here, picture), "it is asked for")


def _asked(here: Visit, path: str) -> bool:
    return any(one.startswith(path) for one in here.requests)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/?seed=ada",
        "/?seed=42&class=kitten&truncation=0.5&edit=d0:1",
        "/?mix=3:1,8:-1,5:1",
        "/?view=plane&corners=3,8,5,42",
        "/?view=path&pins=3~kitten,8",
        "/?view=path&pins=at3_8_5_42_0.5_0.5~t0.7,8",
        "/?view=mix&of=3,8,5&weights=0.5,0.5,0",
        "/?view=names&names=ada%0Abo",
        "/?at=3,8,5,42,0.5,0.5",
    ],
)
def test_link_has_a_preview_that_the_service_draws(address: str, path: str) -> None:
    head = fetch(address + path).decode()
    tags = dict(re.findall(r'<meta (?:property|name)="([^"]+)" content="([^"]*)">', head))
    assert {"og:title", "og:description", "og:image:alt", "twitter:card"} <= set(tags)
    url = tags["og:image"].replace("&amp;", "&")
    assert url.startswith(f"{address}/")
    with urllib.request.urlopen(url) as answer:
        assert "max-age" in answer.headers["Cache-Control"]
        with Image.open(io.BytesIO(answer.read())) as image:
            size = (int(tags["og:image:width"]), int(tags["og:image:height"]))
            assert image.size == size
            assert min(size) >= 200


# --- what is handed over ---


def test_every_text_of_a_named_picture_holds_its_name(visit: Open, address: str) -> None:
    here = visit(**CLIPBOARD)
    page = here.go("/?seed=ada")
    page.get_by_role("heading", name="ada").wait_for()
    number = "9148818030126345199"
    for name in ("Picture URL", "<img> tag", "Markdown", "curl", "Python"):
        page.get_by_role("button", name=name, exact=True).click()
        toast(page, f"Copied: {name}")
        text = clipboard(page)
        assert "seed=ada" in text
        assert number not in text
    page.get_by_role("button", name="<img> tag", exact=True).click()
    assert clipboard(page).endswith('alt="ada">')
    same = fetch(f"{address}/generate.png?seed=ada&scale=4&resample=learned")
    assert taken(page) == same


@pytest.mark.parametrize("name", ["path", "plane", "mix", "grid", "names"])
def test_every_view_hands_over_link_tag_and_command(visit: Open, address: str, name: str) -> None:
    here = visit(**CLIPBOARD)
    page = here.go(VIEWS[name])
    here.settle()
    for summary in page.locator("details.sharing > summary").all():
        summary.click()
    page.get_by_role("button", name="Copy HTML").wait_for()
    here.settle()
    page.get_by_role("button", name="Link to this page").click()
    toast(page, "Copied: Link")
    other = visit()
    other.go(clipboard(page).removeprefix(address))
    other.settle()
    assert other.page.url == page.url
    page.get_by_role("button", name="Copy HTML").click()
    toast(page, "Copied: <img> tag")
    tag = clipboard(page)
    page.evaluate("tag => document.body.insertAdjacentHTML('beforeend', tag)", tag)
    images = page.locator("body > img")
    assert images.count() == (2 if name == "names" else 1)
    for image in images.all():
        image.evaluate("image => image.decode()")
        assert image.evaluate("image => image.offsetWidth > 60 && image.offsetHeight > 60")
        ratio = image.evaluate(
            "image => image.naturalWidth / image.naturalHeight / (image.width / image.height)"
        )
        assert abs(ratio - 1) < 0.02
    page.get_by_role("button", name="curl").click()
    toast(page, "Copied: curl")
    assert clipboard(page).startswith(f"curl -o {DEFAULT}-")


def test_list_of_names_is_a_file_of_each(visit: Open, address: str) -> None:
    here = visit(**CLIPBOARD)
    page = here.go("/?view=names")
    page.get_by_label("Names, one a line").fill("ada\n\n Grace Hopper \n7\nada")
    page.get_by_role("button", name="Show them").click()
    page.wait_for_url("**names=ada%0AGrace%20Hopper%0A7**")
    page.get_by_role("button", name="Grace Hopper").wait_for()
    tiles = page.get_by_label("Pictures of the names").get_by_role("button")
    labels = tiles.evaluate_all("all => all.map(one => one.ariaLabel)")
    assert labels == ["ada", "Grace Hopper", "Seed 7"]
    with zipfile.ZipFile(io.BytesIO(taken(page))) as archive:
        found = [archive.read(f"000{place}.png") for place in range(3)]
    names = ("ada", "Grace%20Hopper", "7")
    wanted = [fetch(f"{address}/generate.png?seed={name}") for name in names]
    pixels = [[np.array(Image.open(io.BytesIO(one))) for one in many] for many in (found, wanted)]
    assert all(map(np.array_equal, *pixels))
    tiles.nth(1).click()
    page.get_by_role("heading", name="Grace Hopper").wait_for()
    shows(here, drawn(address, "/generate.npy?seed=Grace%20Hopper&scale=4&resample=learned"))
    page.go_back()
    page.get_by_label("Names, one a line").fill("ada\n1.5")
    page.get_by_role("button", name="Show them").click()
    page.get_by_text("1.5: Numbers are whole").wait_for()


@pytest.mark.parametrize("next_list", ["ada\nGrace Hopper", "ada\n1.5"], ids=["other", "refused"])
def test_list_that_comes_too_late_is_handed_over_to_nobody(visit: Open, next_list: str) -> None:
    here = visit()
    held = hold(here.page, "**/generate", 1)  # the sheet of the names that are shown at first
    page = here.go("/?view=names")
    until_held(page, held, 1)
    page.get_by_label("Names, one a line").fill(next_list)
    page.get_by_role("button", name="Show them").click()
    if "1.5" in next_list:
        page.get_by_text("1.5: Numbers are whole").wait_for()
    else:
        page.get_by_role("button", name="Grace Hopper").wait_for()
    held[0].continue_()
    here.settle()
    download = page.get_by_role("button", name="Download")
    assert download.is_enabled() == ("1.5" not in next_list)
    if download.is_enabled():
        with zipfile.ZipFile(io.BytesIO(taken(page))) as archive:
            assert len(archive.namelist()) == 3  # and what they are


def test_film_is_offered_only_in_formats_that_the_host_makes(visit: Open) -> None:
    here = visit()

    def without(route: Any) -> None:
        answer = route.fetch()
        card = answer.json()
        if "films" in card:
            card["films"] = ["webp", "apng", "gif"]
        route.fulfill(response=answer, json=card)

    here.page.route(f"**/models/{DEFAULT}@*", without)
    page = here.go("/?view=path&pins=3,8")
    page.locator("canvas[data-frames]").wait_for()
    options = page.get_by_label("Format").locator("option").all_inner_texts()
    assert options == ["WebP", "APNG", "GIF", "PNG strip", "Frames (zip)"]


def test_zip_of_frames_is_restored(visit: Open, address: str) -> None:
    here = visit()
    page = here.go("/?view=find")
    drop(page, fetch(f"{address}/interpolate.zip?seeds=3,8,5&frames=6&loop=true&fps=7"), "a.zip")
    page.wait_for_url("**pins=3,8,5&**")
    assert "fps=7" in page.url
    page.keyboard.press("5")
    page.get_by_role("heading", name="Drop a picture").wait_for()
    drop(page, b"PK\x03\x04" + b"manifest.json" * 40, "b.zip")
    page.get_by_role("heading", name="No picture").wait_for()


@pytest.mark.parametrize("kind", ["zip", "png"])
def test_pictures_of_a_list_are_restored(visit: Open, address: str, kind: str) -> None:
    page = visit().go("/?view=names&names=ada%0A7&class=kitten")
    page.get_by_role("button", name="ada, kitten").wait_for()
    page.get_by_label("Format").select_option(kind)
    content = taken(page)
    page = visit().go("/?view=find")
    drop(page, content, f"a.{kind}")
    page.wait_for_url("**names=9148818030126345199%0A7&**")
    tiles = page.get_by_label("Pictures of the names").get_by_role("button")
    tiles.nth(1).wait_for()
    labels = tiles.evaluate_all("all => all.map(one => one.ariaLabel)")
    assert labels == ["Seed 9148818030126345199, kitten", "Seed 7, kitten"]


def test_mix_takes_names_pins_weights_and_a_class(visit: Open, address: str) -> None:
    here = visit()
    page = here.go("/?seed=11")
    page.get_by_role("heading", name="Seed 11").wait_for()
    page.keyboard.press("p")
    toast(page, "Pinned")
    page.keyboard.press("4")
    page.get_by_role("heading", name="Mix").wait_for()
    page.wait_for_url("**of=11,**")  # it begins with what is pinned
    page.get_by_role("button", name="b: ").click()
    page.get_by_label("Name or number").fill("ada")
    page.get_by_role("button", name="Put it in").click()
    page.wait_for_url("**of=11,9148818030126345199,**")
    page.get_by_label("Class").select_option("monster")
    slide(page, "How much of a", 1.5)
    slide(page, "How much of b", -0.5)
    page.wait_for_url("**weights=1.5,-0.5,0&class=monster**")
    mix = "mix=11:1.5,9148818030126345199:-0.5&class=monster&scale=4&resample=learned"
    shows(here, drawn(address, f"/generate.npy?{mix}"), ".result canvas")
    slide(page, "How much of a", 0)
    slide(page, "How much of b", 0)
    toast(page, "One of them has to weigh something.")


def test_mix_begins_with_half_of_each_of_two_of_one_class_and_offers_favourites(
    visit: Open,
) -> None:
    page = visit().go("/?seed=11")
    page.get_by_role("heading", name="Seed 11").wait_for()
    page.keyboard.press("f")
    toast(page, "Favourite")
    page.keyboard.press("4")
    page.wait_for_url("**weights=0.5,0.5,0&class=robot**")
    tile = page.get_by_label("Pictures to choose from").locator("button.tile").first
    tile.wait_for()
    assert tile.get_attribute("aria-label") == "Seed 11, robot"


def test_directions_have_the_names_of_the_generator_s_file(visit: Open) -> None:
    page = visit().go("/?seed=42")
    sliders = page.locator(".directions input")
    sliders.nth(7).wait_for()
    names = sliders.evaluate_all("all => all.map(one => one.ariaLabel)")
    assert names[0] == "Headgear"
    known = read_generator_file(ZOO / DEFAULT).config.direction_names
    assert names == [name or f"Direction {place + 1}" for place, name in enumerate(known)]


def test_variations_are_near_the_picture_and_opened(visit: Open) -> None:
    page = visit().go("/?seed=42&edit=d0:1")
    others = page.get_by_label("Variations").get_by_role("button")
    others.nth(7).wait_for()
    before = others.evaluate_all("all => all.map(one => one.ariaLabel)")
    assert len(set(before)) == 8
    assert all(label.startswith("Seed 42, edited: d0:") for label in before)
    page.keyboard.press("v")
    until(
        page, f"document.querySelector('.lately button.tile').ariaLabel !== {json.dumps(before[0])}"
    )
    others.nth(3).click()
    page.wait_for_url("**seed=42**edit=d0:**d1:**")


# --- learn ---


def write_flat_history(folder: Path, run: Path) -> None:
    """Puts the history of such a run beside a generator."""
    write_flat_run(run)
    write_history(run, folder, 4000, reals=True)


def test_learn_shows_a_run_and_plays_a_game(browser: Any, tmp_path: Path) -> None:
    folder = write_tiny_generator(tmp_path / "tiny")
    write_flat_history(folder, tmp_path / "run")
    with service(folder) as (_, address), visiting(browser, address) as visit:
        here = visit(reduced_motion="reduce")
        page = here.go("/?grid=0")
        here.settle()
        assert not any("learn" in path for path in here.requests)  # until it is opened
        page.get_by_role("link", name="Learn").click()
        page.get_by_role("heading", name="How it learnt to draw").wait_for()
        page.locator("canvas[data-moment='4']").wait_for()
        slider = page.get_by_label("Moment of the run")
        for moment in (0, 3):
            slide(page, "Moment of the run", moment)
            page.get_by_text(f"After {1000 * moment:,} pictures").wait_for()
            shown = here.pixels("canvas[data-moment]")
            assert shown.shape == (168, 168, 4)
            assert abs(shown[..., 0].mean() - LEVELS[moment]) < 4
        page.locator(".chart").first.click(position={"x": 2, "y": 30})
        page.locator("canvas[data-moment='0']").wait_for()
        assert slider.input_value() == "0"
        page.get_by_text("The curves in numbers").click()
        assert page.locator("table tbody tr").first.inner_text().split() == [
            "0",
            "1",
            "2",
            "0.7",
            "0.2",
        ]
        page.get_by_role("button", name="in the middle").click()
        for tile in page.locator(".board button").all():
            if tile.evaluate("tile => tile.querySelector('canvas')") is not None:
                level = tile.evaluate(
                    "tile => tile.firstChild.getContext('2d').getImageData(9, 9, 1, 1).data[0]"
                )
                if level < 240:
                    tile.click()
        page.get_by_role("button", name="Check").click()
        page.get_by_text(
            "You have 12 of 12 right; the discriminator, in the middle: 12."
        ).wait_for()
        assert page.locator(".board .drawn").count() == 6
        page.get_by_role("button", name="Others").click()
        assert page.locator(".board .drawn").count() == 0
        assert page.locator(".steps li").count() == 5
        axe = pytest.importorskip(
            "axe_playwright_python.sync_playwright", reason="axe is not there"
        )
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found = axe.Axe().run(page).response["violations"]
            assert [(one["id"], one["nodes"][0]["target"]) for one in found] == [], scheme
        moving = visit(reduced_motion="no-preference").go("/?view=learn")
        moving.locator("canvas[data-moment='4']").wait_for()  # it plays, and ends
        moving.get_by_role("button", name="Play").wait_for()


def test_learn_without_a_history_says_so(browser: Any, tmp_path: Path) -> None:
    folder = write_tiny_generator(tmp_path / "tiny")
    with service(folder) as (_, address), visiting(browser, address) as visit:
        page = visit().go("/?view=learn")
        page.get_by_text("The folder of tiny says nothing of how it came to be.").wait_for()
        assert page.locator(".steps li").count() == 5
        assert not page.get_by_role("button", name="Check").is_visible()
