"""The explorer in Firefox: nothing goes wrong in any view, its tasks are done by keyboard, and
it fits every window.
"""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from model.generators import DEFAULT, ZOO
from model.training.run.watch import Control, Watch
from tests.browsing import COVERED, VIEWS, drawn, shows, until
from tests.firefox import Firefox, firefox
from tests.services import service
from tests.tiny_runs import LEVELS, write_flat_run

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WINDOWS = ((1440, 900), (1280, 720), (844, 390), (390, 844), (360, 640))
LOADED = "document.querySelector('canvas[data-moment]')?.dataset.moment"


@pytest.fixture(scope="module")
def browser() -> Iterator[Firefox]:
    with firefox() as found:
        yield found


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Serves coloured pictures with classes, beside a generator that has a history."""
    with service(ZOO / DEFAULT, GAN_MODELS="mnist", GAN_THREADS="1") as (_, address):
        yield address


@pytest.fixture
def page(browser: Firefox, address: str) -> Iterator[Firefox]:
    """Sees that nothing has gone wrong in the page at the end."""
    browser.address = address
    browser.wrong.clear()
    browser.resize(*WINDOWS[0])
    yield browser
    assert browser.wrong == []


def pasted(page: Firefox) -> str:
    """Returns what was copied, as whoever pastes it into a field finds it."""
    page.evaluate("() => document.body.append(document.createElement('textarea'))")
    page.evaluate("document.querySelector('body > textarea').focus()")
    page.press("v", held="Control")
    found = page.evaluate("document.querySelector('body > textarea').value")
    page.evaluate("document.querySelector('body > textarea').remove()")
    return str(found)


def test_first_picture_has_the_pixels_of_the_service(page: Firefox, address: str) -> None:
    page.go("/?grid=0")
    wanted = drawn(address, "/generate.npy?seed=ada&scale=2&resample=learned")
    shows(page, wanted, ".hero .s128")
    shows(page, drawn(address, "/generate.npy?seed=0"), "button.tile canvas")


def test_name_becomes_copied_html_by_keyboard_in_two_acts(page: Firefox, address: str) -> None:
    page.go("/?grid=0")
    page.press("/")
    page.press(*"ada & bo")
    until(page, "document.querySelector('.sizes').dataset.name === 'ada & bo'")
    page.tab_to("Copy the line of HTML")
    page.press("Enter")
    until(page, "document.querySelector('#toast').textContent === 'Copied: one line of HTML'")
    source = f'src="{address}/generate?seed=ada%20%26%20bo"'
    assert pasted(page) == f'<img {source} width="64" height="64" alt="ada &amp; bo">'


def test_three_pins_become_a_shared_film_by_keyboard_in_six_acts(page: Firefox) -> None:
    page.go("/?grid=0")
    page.tab_to("Seed 0")
    acts = ["p", "ArrowRight", "p", "ArrowRight", "p"]
    page.press(*acts)
    page.tab_to("Play")
    page.press("Enter")
    until(page, "document.querySelector('canvas[data-frames=\"72\"]') !== null")
    page.tab_to("Copy link", held="Shift")  # above the heading
    page.press("Enter")
    until(page, "document.querySelector('#toast').textContent === 'Copied: Link to this page'")
    assert acts.count("p") + 2 <= 6
    link = pasted(page)
    assert link == page.evaluate("location.href")
    assert parse_qs(urlsplit(link).query)["pins"] == ["0,1,2"]


def test_slider_moves_pictures(page: Firefox, address: str) -> None:
    page.go("/?seed=42")
    page.evaluate("document.querySelector('.directions input').focus()")
    page.press(*["ArrowRight"] * 3)
    until(page, "location.search.includes('edit=d0:')")
    (edit,) = parse_qs(urlsplit(page.evaluate("location.href")).query)["edit"]
    wanted = drawn(address, f"/generate.npy?seed=42&edit={edit}&scale=4&resample=learned")
    shows(page, wanted)


def test_learn_loads_its_history_when_it_is_chosen(page: Firefox) -> None:
    page.go("/?grid=0&model=mnist")
    page.tab_to("Learn")
    page.press("Enter")
    until(page, f"Number({LOADED}) > 5")
    page.settle()
    page.evaluate("document.querySelector('[aria-label=\"Moment of the run\"]').focus()")
    page.press("Home")
    until(page, f"{LOADED} === '0'")


def test_run_is_watched_and_steered(page: Firefox, tmp_path: Path) -> None:
    write_flat_run(tmp_path)
    control = Control(lambda: False)
    with Watch(tmp_path, 0, control) as watch:
        page.address = watch.address
        page.go()
        until(page, f"{LOADED} === '{len(LEVELS) - 1}'")
        page.tab_to("Pause")
        page.press("Enter")
        until(page, "document.querySelector('.bar button').innerText.trim() === 'Go on'")
        assert control.paused
        page.leave()


@pytest.mark.parametrize("name", VIEWS)
def test_view_fits_every_window_and_covers_nothing(page: Firefox, name: str) -> None:
    fits(page, name)


def test_text_of_twice_the_size_fits_every_window(address: str) -> None:
    with firefox(text=2) as page:
        page.address = address
        for name in VIEWS:
            fits(page, name)
        assert page.wrong == []


def fits(page: Firefox, name: str) -> None:
    """Asks whether nothing is wider than a window, or has the focus and is under something."""
    page.resize(*WINDOWS[0])
    page.go(VIEWS[name] + ("&model=mnist" if name == "learn" else ""))
    for size in WINDOWS:
        page.resize(*size)
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0], (name, size)
        assert page.evaluate(COVERED) == [], (name, size)
