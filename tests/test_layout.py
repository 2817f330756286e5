"""The explorer in every window: nothing is covered, cut, moved or too small, and its words are
those of people.
"""

from collections.abc import Callable

import pytest

from tests.browsing import (
    COVERED,
    PHONE,
    VIEWS,
    WINDOWS,
    Visit,
    drawn,
    shows,
    until,
    window,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Open = Callable[..., Visit]


@pytest.fixture(scope="module")
def address(usual_address: str) -> str:
    return usual_address


STUCK = """() => {
  scrollTo(0, 400)
  let free = 0
  for (let y = 0; y < innerHeight; y++) {
    const seen = document.elementsFromPoint(innerWidth / 2, y)
    const sticks = seen.some(one => ["fixed", "sticky"].includes(getComputedStyle(one).position))
    if (!sticks) free += 1
  }
  return free
}"""


@pytest.mark.parametrize("size", WINDOWS)
def test_nothing_that_has_the_focus_is_covered_and_there_is_room(visit: Open, size: str) -> None:
    here = visit(**window(size), reduced_motion="reduce")
    for name in ("focus", "grid", "path", "plane", "names"):
        page = here.go(VIEWS[name])
        here.settle()
        assert page.evaluate(COVERED) == [], name
        if WINDOWS[size][0] < 1000:
            free = page.evaluate(STUCK)
            assert free >= min(240, 0.9 * WINDOWS[size][1]), name


REACH = """() => {
  const boxes = [...document.querySelectorAll("main :is(h1, h2, p, button, canvas, input, dd)")]
    .filter(one => one.checkVisibility())
    .map(one => one.getBoundingClientRect())
    .filter(({width}) => width)
  const [left, right] = [boxes.map(({left}) => left), boxes.map(({right}) => right)]
  return [Math.min(...left), Math.max(...right)]
}"""


@pytest.mark.parametrize("name", ["path", "path-empty", "find", "mix", "models", "focus"])
def test_no_view_leaves_half_of_a_window_empty(visit: Open, name: str) -> None:
    here = visit(**window("laptop"))
    page = here.go(VIEWS[name])
    here.settle()
    left, right = page.evaluate(REACH)
    assert left < 0.2 * 1280
    assert right > 0.8 * 1280
    if name == "focus":  # what is like the picture stands below it, not below the sliders
        variations, panel = (
            page.locator(one).first.bounding_box() for one in (".lately", ".panel")
        )
        assert variations["y"] + variations["height"] < panel["y"] + panel["height"]


@pytest.mark.parametrize("size", ["laptop", "small phone", "phone"])
def test_download_is_seen_without_scrolling(visit: Open, size: str) -> None:
    here = visit(**window(size))
    for name in ("focus", "path", "plane"):
        page = here.go(VIEWS[name])
        here.settle()
        box = page.get_by_role("button", name="Download").bounding_box()
        nav = page.locator("#views").bounding_box()
        bottom = nav["y"] if nav["y"] > 100 else WINDOWS[size][1]
        if name == "focus" or size == "laptop":
            assert box["y"] + box["height"] <= bottom, name


def test_picture_is_no_larger_than_it_looks_good_and_smooth(visit: Open, address: str) -> None:
    here = visit(viewport={"width": 1920, "height": 1200})
    page = here.go("/?seed=42&model=colour")
    until(page, "document.querySelector('.stage canvas.large').dataset.shown")
    large = page.locator(".stage canvas.large")
    assert large.evaluate("one => [one.clientWidth, getComputedStyle(one).imageRendering]") == [
        384,
        "auto",
    ]
    sides = page.locator(".uses canvas").evaluate_all(
        "all => all.map(one => [one.clientWidth, getComputedStyle(one).borderRadius])"
    )
    assert sides == [[128, "14px"], [64, "50%"], [32, "50%"]] * 2
    shows(here, drawn(address, "/generate.npy?model=colour&seed=42"), ".uses canvas >> nth=4")
    page.keyboard.press("x")
    assert large.evaluate("one => getComputedStyle(one).imageRendering") == "pixelated"


def test_escape_leads_back_to_the_tile(visit: Open) -> None:
    page = visit().go("/?grid=0")
    tile = page.get_by_role("button", name="Seed 30", exact=True)
    tile.focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Seed 30").wait_for()
    page.keyboard.press("Escape")
    until(page, "document.activeElement.ariaLabel === 'Seed 30'")


def test_navigation_stays_where_it_is(visit: Open) -> None:
    here = visit(**window("laptop"))
    places = []
    for path in VIEWS.values():
        page = here.go(path)
        here.settle()
        boxes = [one.bounding_box() for one in page.locator("#views a").all()]
        places.append([(box["x"], box["y"], box["width"]) for box in boxes])
    assert len(places[0]) == 4
    assert all(one == places[0] for one in places)


TO_THE_BOTTOM = """one => {
  scrollTo(0, scrollY + one.getBoundingClientRect().bottom - innerHeight + 30)
}"""


def test_toast_is_not_over_what_was_pressed_and_takes_no_press(visit: Open) -> None:
    here = visit(**window("laptop"))
    page = here.go("/?seed=42")
    here.settle()
    for place in ("Python", "Pin"):
        button = page.get_by_role("button", name=place, exact=True)
        button.evaluate(TO_THE_BOTTOM)
        button.click()
        page.locator("#toast").wait_for()
        (one, other) = (page.locator("#toast").bounding_box(), button.bounding_box())
        apart = one["y"] + one["height"] <= other["y"] or other["y"] + other["height"] <= one["y"]
        aside = one["x"] + one["width"] <= other["x"] or other["x"] + other["width"] <= one["x"]
        assert apart or aside
    assert page.locator("#toast").evaluate("one => getComputedStyle(one).pointerEvents") == "none"


SMALL = """
[..."button, nav a, footer a, select, summary, input, textarea".split(", ")]
  .flatMap(kind => [...document.querySelectorAll(kind)])
  .filter(one => one.checkVisibility() && one.type !== "checkbox" && one.type !== "file")
  .map(one => [one.ariaLabel ?? one.innerText ?? one.type, one.getBoundingClientRect()])
  .filter(([, box]) => box.width && (box.width < 44 || box.height < 44))
  .map(([name, box]) => `${name} ${box.width} x ${box.height}`)"""


@pytest.mark.parametrize("name", VIEWS)
def test_targets_are_as_large_as_a_finger(visit: Open, name: str) -> None:
    here = visit(**PHONE)
    page = here.go(VIEWS[name])
    here.settle()
    assert page.evaluate(SMALL) == []


SHIFTS = """
window.shifts = 0
new PerformanceObserver(list => {
  for (const one of list.getEntries()) if (!one.hadRecentInput) window.shifts += one.value
}).observe({type: "layout-shift", buffered: true})
"""


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("size", ["laptop", "phone"])
def test_nothing_moves_while_a_view_arrives(visit: Open, name: str, size: str) -> None:
    here = visit(**window(size))
    here.page.add_init_script(SHIFTS)
    page = here.go(VIEWS[name])
    here.settle()
    page.wait_for_timeout(100)
    assert page.evaluate("window.shifts") <= 0.02


OLD_WORDS = (
    *("As suits it", "Along the arc", "Without a bend", "Rests at each", "Its own"),
    *("Take it away", "levels of 255", "Truncation", "Each its own"),
)


@pytest.mark.parametrize("name", VIEWS)
def test_words_are_those_of_people(visit: Open, name: str) -> None:
    here = visit()
    page = here.go(VIEWS[name])
    here.settle()
    text = page.locator("body").evaluate("body => body.textContent")
    assert [words for words in OLD_WORDS if words in text] == []


def test_help_says_what_words_mean(visit: Open) -> None:
    page = visit().go("/?seed=42")
    page.get_by_role("button", name="Help").click()
    dialog = page.get_by_role("dialog", name="Help")
    dialog.wait_for()
    for words in ("Seed", "Variety", "Directions", "Pin", "Keys"):
        assert words in dialog.inner_text()
    page.keyboard.press("Escape")
    assert "Less is more usual" in page.locator("main").inner_text()
