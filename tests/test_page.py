"""The explorer as the service sends it, and its modules that need no browser."""

import io
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.access.keys import key_hash
from app.main import create_app
from app.routes.page import FOLDER, TYPES
from app.settings import Settings
from tests.services import TIMEOUT

ROOT = Path(__file__).parent.parent
LARGEST = 100 * 1024  # bytes of all parts, as they travel
FIRST = 40 * 1024  # bytes of those of the first view, as they travel
FIRST_UNPACKED = 110 * 1024
DOC_COMMENT = r"^ */\*\*(?!.*\*/ \S)"  # not the cast that some line begins with, which is code
FILES = sorted(file.name for file in FOLDER.iterdir() if file.suffix in TYPES)
MODULES = [name for name in FILES if name.endswith(".js")]


def test_page_and_its_parts_weigh_less_than_100_kib(client: TestClient) -> None:
    sizes = [int(client.get(f"/page/{name}").headers["Content-Length"]) for name in FILES]
    assert min(sizes) > 100
    assert sum(sizes) < LARGEST


def test_first_view_weighs_less_than_40_kib_and_110_unpacked(client: TestClient) -> None:
    page = client.get("/")
    parts = set(re.findall(r'(?:src|href)="(page/[^"]+)"', page.text))
    assert len(parts) > 10
    answers = [page, *(client.get(f"/{path}") for path in parts)]
    assert sum(int(answer.headers["Content-Length"]) for answer in answers) < FIRST
    plain = {"Accept-Encoding": "identity"}
    answers = [client.get(path, headers=plain) for path in ("/", *(f"/{path}" for path in parts))]
    assert all("Content-Encoding" not in answer.headers for answer in answers)
    assert sum(len(answer.content) for answer in answers) < FIRST_UNPACKED


def test_what_teaches_is_loaded_later_and_weighs_less_than_12_kib(client: TestClient) -> None:
    first, parts = client.get("/").text, [name for name in MODULES if name.startswith("learn")]
    assert len(parts) == 3
    assert not any(name in first for name in parts)
    sizes = [int(client.get(f"/page/{name}").headers["Content-Length"]) for name in parts]
    assert sum(sizes) < 12 * 1024


@pytest.mark.parametrize("name", FILES)
def test_part_is_strict_about_what_it_loads_and_asked_about_again(
    client: TestClient, name: str
) -> None:
    answer = client.get(f"/page/{name}")
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["Content-Encoding"] == "gzip"
    assert without_docs(answer.text) == without_docs(
        (FOLDER / name).read_bytes().decode(errors="replace")
    )
    assert not re.search(DOC_COMMENT, answer.text, re.MULTILINE)
    again = client.get(f"/page/{name}", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def without_docs(text: str) -> list[str]:
    """Returns the lines with their numbers, but for doc comments."""
    lines = list(enumerate(text.splitlines()))
    return [
        f"{number} {line}"
        for number, line in lines
        if not re.match(rf"{DOC_COMMENT}| *(\*|$)", line)
    ]


@pytest.mark.parametrize(("port", "leads"), [(0, True), (9000, False)])
def test_page_leads_to_docs_only_where_they_are(port: int, leads: bool) -> None:
    client = TestClient(create_app(Settings(generator="nowhere", admin_port=port)))
    assert (client.get("/docs").status_code == 200) is leads
    for path in ("/", "/page/index.html"):
        page = client.get(path)
        assert page.status_code == 200
        assert ('href="docs"' in page.text) is leads
        assert "Models and licences" in page.text


def test_what_the_page_asks_for_first_is_asked_for_while_its_modules_come(
    generator_folder: Path,
) -> None:
    settings = Settings(generator=str(generator_folder), device="cpu")
    with TestClient(create_app(settings)) as client:
        first = client.get("/models").json()["default"]
        preloads = r'rel="preload" href="([^"]*)" as="fetch" crossorigin'
        found = re.findall(preloads, client.get("/?seed=ada").text)
        assert found == ["models", f"models/{first}", f"models/{first}/directions"]
        assert all(client.get(f"/{path}").status_code == 200 for path in found)
        assert re.findall(preloads, client.get("/?seed=ada&model=other").text) == ["models"]
    closed = settings.model_copy(update={"api_key_hashes": [key_hash("gan_key")]})
    with TestClient(create_app(closed)) as client:
        assert re.findall(preloads, client.get("/").text) == []  # it would be refused


def test_preview_is_of_the_host_that_was_asked(client: TestClient) -> None:
    def picture(**headers: str) -> list[str]:
        text = client.get("/?seed=ada", headers=headers).text
        return re.findall(r'property="og:image" content="([^"]*)"', text)

    (url,) = picture(Host="example.org:8443")
    assert url.startswith("http://example.org:8443/generate.png?seed=ada&amp;")
    for host in ('evil"><script>', "a b", "example.org/x", ""):
        assert picture(Host=host) == []
    under = TestClient(create_app(Settings(generator="nowhere", root_path="/gan")))
    assert 'content="http://testserver/gan/generate.png?' in under.get("/gan/?seed=ada").text


@pytest.mark.parametrize(
    ("pin", "picture"),
    [
        ("3", "/generate.png?seed=3&class=dog&truncation=0.5&"),
        ("3~red%20panda~t0.7~d0:1.5~d1:-1", "/generate.png?seed=3&class=red%20panda&truncation=0.7&"
         "edit=d0:1.5,d1:-1&"),
        ("3:1_8:-1_5:1~=t9", "/generate.png?mix=3:1,8:-1,5:1&class=t9&truncation=0.5&"),
        ("z0.5_-1", "/generate.png?z=0.5,-1&class=dog&truncation=0.5&"),
        ("at3_8_5_42_0.25_0.5", "/plane.png?seeds=3,8,5,42&x=0.25&y=0.5&size=0&columns=1&rows=1&"
         "class=dog&truncation=0.5&"),
    ],
)  # fmt: skip
def test_preview_of_a_film_is_its_first_pin(client: TestClient, pin: str, picture: str) -> None:
    head = client.get(f"/?view=path&class=dog&truncation=0.5&pins={pin},8~cat").text
    (url,) = re.findall(r'property="og:image" content="([^"]*)"', head)
    wanted = dict(parse_qsl(urlsplit(picture).query))
    found = urlsplit(unescape(url))
    assert found.path == urlsplit(picture).path
    assert {name: value for name, value in parse_qsl(found.query) if name in wanted} == wanted


@pytest.mark.parametrize(
    "query",
    ["seed=%22%3E%3Cscript%3E", "view=path&pins=%3Cb%3E", "seed=%ff", "&".join("abcd" * 99)],
)
def test_address_of_a_page_puts_nothing_into_it(client: TestClient, query: str) -> None:
    text = client.get(f"/?{query}").text
    assert "<script>" not in text
    assert "<b>" not in text
    assert 'property="og:title"' in text


def test_page_of_a_closed_host_shows_no_picture() -> None:
    closed = Settings(generator="nowhere", api_key_hashes=[key_hash("gan_key")])
    text = TestClient(create_app(closed)).get("/?seed=ada").text
    assert 'property="og:title" content="ada"' in text
    assert "generate.png" not in text


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fmain.py", "", "index.html.bak"])
def test_page_has_no_other_parts(client: TestClient, name: str) -> None:
    assert client.get(f"/page/{name}").status_code == 404


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_loaded_from_elsewhere(name: str) -> None:
    text = (FOLDER / name).read_bytes().decode(errors="replace")
    assert set(re.findall(r"https?://[^\"'\s)]+", text)) <= {"http://www.w3.org/2000/svg"}
    for banned in ("eval(", "innerHTML", "style=", 'onclick="', "<style"):
        assert banned not in text


def test_first_modules_are_asked_for_at_once() -> None:
    """Else one would wait for the other to name it."""
    page = (FOLDER / "index.html").read_text()
    wanted, seen = ["main.js", "grid.js"], set()
    while wanted:
        name = wanted.pop()
        seen.add(name)
        found = re.findall(r'^(?:import|export) [^;(]*?from "\./([a-z_]+\.js)"', module(name), re.M)
        wanted += set(found) - seen
    assert seen == set(re.findall(r'"page/([a-z_]+\.js)"', page))


def module(name: str) -> str:
    # an import may take several lines
    return re.sub(r"\{[^}]*\}", "{}", (FOLDER / name).read_text())


def test_modules_keep_their_laws() -> None:
    node = node_program()
    if node is None:
        pytest.skip("no node is installed, neither Playwright's nor another")
    command = [node, "--test", *sorted(map(str, (ROOT / "tests" / "page").glob("*.test.mjs")))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^. (?:pass|tests) [1-9]", done.stdout, re.M), done.stdout


def node_program() -> str | None:
    """Returns Playwright's own, whose version is pinned, else one that is installed."""
    try:
        import playwright
    except ImportError:
        return shutil.which("node")
    (node,) = (Path(playwright.__file__).parent / "driver").glob("node*")
    return str(node)


def test_page_leads_nowhere_by_a_path_from_the_root(client: TestClient) -> None:
    """A proxy may show it under another."""
    for path in ("/", "/docs", "/problems/not-found"):
        text = client.get(path).text
        links = re.findall(r'(?:src|href)="([^"]*)"', text)
        assert len(links) > 0
        assert [link for link in links if link.startswith("/")] == []
        for link in links:
            if not link.startswith("#"):
                assert client.get(urljoin(path, unescape(link))).status_code == 200, link


@pytest.mark.parametrize("path", ["/", "/docs", "/problems/not-found", "/page/icon.svg"])
def test_whatever_a_browser_shows_loads_nothing_from_elsewhere(
    client: TestClient, path: str
) -> None:
    answer = client.get(path)
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; ")
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    loaded = re.findall(r'<(?:script|link|img|iframe)[^>]*(?:src|href)="([^"]*)"', answer.text)
    assert [link for link in loaded if "//" in link] == []
    assert "<script>" not in answer.text


def test_docs_describe_every_operation_and_field(client: TestClient) -> None:
    text, document = client.get("/docs").text, client.get("/openapi.json").json()
    ids = set(re.findall(r' id="([^"]+)"', text))
    assert set(re.findall(r'href="#([^"]+)"', text)) <= ids
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert f"<h2><code>{method.upper()} {path}</code></h2>" in text
            assert operation["operationId"] in ids
            for one in operation["parameters"]:
                assert f"<code>{one.get('name', 'If-None-Match')}</code>" in text
    for name, schema in document["components"]["schemas"].items():
        assert f"schema-{name}" in ids
        assert all(f"<code>{field}</code>" in text for field in schema.get("properties", ()))
    assert client.get("/redoc").status_code == 404  # its scripts come from elsewhere


@pytest.mark.parametrize(
    ("robots", "page", "picture"),
    [("page", True, False), ("none", False, False), ("all", True, True)],
)
def test_robots_are_left_what_the_setting_says(robots: Any, page: bool, picture: bool) -> None:
    client = TestClient(create_app(Settings(generator="nowhere", robots=robots)))
    answer = client.get("/robots.txt")
    assert answer.headers["Content-Type"].startswith("text/plain")
    rules = [line.split(": ") for line in answer.text.splitlines()[1:]]
    for path, allowed in {
        "/": page,
        "/?view=plane": page,
        "/page/main.js": page,
        "/generate": picture,
        "/generate?seed=1": picture,
        "/i/avatars@0/1.png": picture,
        "/plane": picture,
    }.items():
        fits = [
            (len(rule), word == "Allow")
            for word, rule in rules
            if (path == rule[:-1] if rule.endswith("$") else path.startswith(rule))
        ]
        assert max(fits)[1] is allowed, path  # RFC 9309: the longest decides


def test_there_is_an_icon_where_browsers_look_for_one(client: TestClient) -> None:
    answer = client.get("/favicon.ico")
    assert answer.headers["Content-Type"] == "image/x-icon"
    with Image.open(io.BytesIO(answer.content)) as icon:
        assert (icon.format, icon.size) == ("ICO", (32, 32))
