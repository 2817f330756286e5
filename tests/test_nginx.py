"""nginx with a cache in front of the running service, set up as docs/nginx.md says."""

import http.client
import io
import json
import re
import shutil
import signal
import socket
import subprocess
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from html import unescape
from itertools import count
from pathlib import Path
from urllib.parse import urljoin

import numpy as np
import pytest
from PIL import Image

from benchmarks.servers import free_port
from model.generators import ZOO
from tests.browsing import Visit, chromium
from tests.services import (
    LARGE,
    TIMEOUT,
    RunningService,
    needs_proc,
    refuses,
    service,
    spent_until_idle,
    wait_until,
)

ROOT = Path(__file__).parent.parent
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
# around the documented block: one process in the foreground, and its files in the folder it is told
AROUND = """
daemon off;
master_process off;
pid nginx.pid;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
{block}
}}
"""

BEHIND = re.compile(r"127\.0\.0\.1:8000|shield\.example\.com:80")

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
seeds = count(1000)  # each test its own: what one has stored is no news to the next


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def cached(self) -> str | None:
        """What the cache says: HIT or MISS."""
        return self.headers.get("x-cache-status")


@dataclass(frozen=True)
class Host:
    """nginx and the service behind it."""

    port: int
    direct: int  # the service's own
    process: "subprocess.Popen[str]"
    folder: Path  # nginx's own

    def ask(
        self, path: str, method: str = "GET", body: str | None = None, **headers: str
    ) -> Answer:
        """Asks through nginx."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with closing(
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        ) as connection:
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Yields the service cannot answer meanwhile: what comes, comes from the cache."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Yields the hardest case for a cache: a CORS origin adds to Vary."""
    folder = tmp_path_factory.mktemp("nginx")
    settings = {"GAN_MAX_STREAMS": "1", "GAN_CORS_ORIGIN": "https://site.example"}
    with (
        service(ZOO / "mnist", **settings) as (process, address),
        behind_nginx(folder, documented(0), process, address) as host,
    ):
        yield host


@pytest.fixture(scope="module")
def under_a_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("nginx-under-a-path")
    with (
        service(ZOO / "mnist", GAN_ROOT_PATH="/gan") as (process, address),
        behind_nginx(folder, documented(3), process, address) as host,
    ):
        yield host


@contextmanager
def behind_nginx(
    folder: Path, block: str, process: "subprocess.Popen[str]", address: str
) -> Iterator[Host]:
    """Yields nginx with a documented block, of which folder, port and service are this test's."""
    assert NGINX is not None
    port, behind = free_port(), address.removeprefix("http://")
    block = re.sub("/var/cache/nginx/[a-z]+", str(folder / "cache"), block)
    for wanted, ours in (
        (BEHIND.search(block)[0], behind),  # type: ignore[index]
        ("listen 80;", f"listen 127.0.0.1:{port};"),
    ):
        assert block.count(wanted) == 1
        block = block.replace(wanted, ours)
    (folder / "nginx.conf").write_text(AROUND.format(block=block))
    command = [NGINX, "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]
    nginx = subprocess.Popen(command)
    try:
        wait_until(lambda: nginx.poll() or not refuses(f"127.0.0.1:{port}"), "nginx listens")
        assert nginx.poll() is None
        yield Host(port, int(behind.split(":")[1]), process, folder)
    finally:
        nginx.terminate()
        nginx.wait(TIMEOUT)


def documented(number: int) -> str:
    """Returns a block of docs/nginx.md."""
    page = (ROOT / "docs" / "nginx.md").read_text()
    blocks = re.findall(r"^```nginx\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 4
    return str(blocks[number])


@pytest.mark.parametrize(
    "path",
    [
        "/generate?seed={seed}",
        "/generate.png?seed={seed}",
        "/generate.avif?seed={seed}&scale=2",
        "/generate?seed={seed}&format=webp&n=4",
        "/i/{model}/{seed}.png",
        "/i/{model}/{seed}@2x.webp",
        "/i/{model}/{seed}.json",
        "/interpolate.webp?seeds={seed},2&frames=4",
        "/interpolate.zip?seeds={seed},2&frames=4",
        "/plane?seeds={seed},2,3,4",
    ],
)
def test_seeded_picture_comes_from_the_cache_the_second_time(host: Host, path: str) -> None:
    seed = next(seeds)
    model = host.ask(f"/generate?seed={seed}").headers["image-model"]
    path = path.format(seed=seed, model=model).replace(f"?seed={seed}", f"?seed={seed + 10_000}")
    first = host.ask(path)
    assert (first.status, first.cached) == (200, "MISS")
    with host.frozen():
        second = host.ask(path)
    assert (second.status, second.cached) == (200, "HIT")
    assert second.body == first.body
    assert second.headers["etag"] == first.headers["etag"]


@pytest.mark.parametrize("path", ["/generate", "/generate.png", "/generate.webp?n=2"])
def test_random_picture_never_comes_from_the_cache(host: Host, path: str) -> None:
    answers = [host.ask(path) for _ in range(3)]
    assert [(answer.status, answer.cached) for answer in answers] == [(200, "MISS")] * 3
    assert len({answer.headers["image-seed"] for answer in answers}) == 3
    assert len({answer.body for answer in answers}) == 3


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/generate.png?seed=-1", 422),
        ("/generate?seed=1&n=9999", 422),
        ("/generate.tiff?seed=1", 404),
        ("/i/mnist@000000000000/7.png", 404),
        ("/nothing", 404),
    ],
)
def test_error_never_comes_from_the_cache(host: Host, path: str, status: int) -> None:
    for _ in range(2):
        answer = host.ask(path)
        assert (answer.status, answer.cached) == (status, "MISS")


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/models", "/models/mnist"])
def test_state_never_comes_from_the_cache(host: Host, path: str) -> None:
    for _ in range(2):
        answer = host.ask(path)
        assert (answer.status, answer.cached) == (200, "MISS")


def test_full_service_is_asked_again(host: Host) -> None:
    path = f"/interpolate.zip?seeds={next(seeds)},2&frames=4"
    body = json.dumps({"seeds": "0-9999", "format": "npy", "scale": 4})
    with closing(
        http.client.HTTPConnection("127.0.0.1", host.direct, timeout=TIMEOUT)
    ) as connection:
        connection.request("POST", "/generate", body, {"Content-Type": "application/json"})
        assert connection.getresponse().status == 200  # and it is not read: it keeps its place
        for _ in range(2):
            full = host.ask(path)
            assert (full.status, full.cached) == (429, "MISS")
            assert int(full.headers["retry-after"]) >= 1
    answers: list[Answer] = []

    def accepted() -> bool:
        answers.append(host.ask(path))
        return answers[-1].status == 200

    wait_until(accepted, "the place is free")
    assert answers[-1].cached == "MISS"
    assert host.ask(path).cached == "HIT"


def test_each_accept_gets_its_own_answer(host: Host) -> None:
    path = f"/generate?seed={next(seeds)}"
    browser = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
    wanted = {
        "image/png": "image/png",
        "image/webp": "image/webp",
        "image/avif,image/webp;q=0.5": "image/avif",
        browser: host.ask(f"/generate?seed={next(seeds)}", Accept=browser).headers["content-type"],
    }
    first = {accept: host.ask(path, Accept=accept) for accept in wanted}
    assert {accept: answer.cached for accept, answer in first.items()} == dict.fromkeys(
        wanted, "MISS"
    )
    with host.frozen():
        second = {accept: host.ask(path, Accept=accept) for accept in wanted}
    for accept, media_type in wanted.items():
        assert second[accept].cached == "HIT"
        assert second[accept].body == first[accept].body
        assert second[accept].headers["content-type"] == media_type
        with Image.open(io.BytesIO(second[accept].body)) as image:
            assert Image.MIME[image.format or ""] == media_type
    refused = host.ask(path, Accept="text/html")
    assert (refused.status, refused.cached) == (406, "MISS")


@pytest.mark.parametrize("path", ["/generate?seed={}", "/interpolate.webp?seeds=1,{}"])
def test_head_before_a_get_does_no_harm(host: Host, path: str) -> None:
    path = path.format(next(seeds))
    head = host.ask(path, "HEAD")
    assert (head.status, head.cached, head.body) == (200, "MISS", b"")
    with host.frozen():
        answer = host.ask(path)
    assert answer.cached == "HIT"
    assert len(answer.body) == int(head.headers["content-length"])
    with Image.open(io.BytesIO(answer.body)) as image:
        image.load()


def test_client_that_has_the_picture_gets_304(host: Host) -> None:
    path = f"/generate.png?seed={next(seeds)}"
    known = host.ask(path)
    tag = known.headers["etag"]
    with host.frozen():  # from the cache
        for named in (tag, f"W/{tag}", f'"other", {tag}'):
            answer = host.ask(path, If_None_Match=named)
            assert (answer.status, answer.cached, answer.body) == (304, "HIT", b"")
            assert answer.headers["etag"] == tag
        assert host.ask(path, If_None_Match='"other"').body == known.body


def test_client_that_has_the_picture_gets_304_before_the_cache_has_it(host: Host) -> None:
    seed = next(seeds)
    tag = host.ask(f"/generate.png?seed={seed}").headers["etag"]
    path = f"/generate?seed={seed}&format=png"  # the same picture
    answer = host.ask(path, If_None_Match=tag)
    assert (answer.status, answer.cached) == (304, "MISS")
    assert len(host.ask(path).body) > 0


def test_many_pictures_of_a_post_pass_and_are_not_kept(host: Host) -> None:
    body = json.dumps({"seeds": "0-199", "format": "zip"})
    for _ in range(2):
        answer = host.ask("/generate", "POST", body, Content_Type="application/json")
        assert answer.status == 200
        assert answer.cached is None
        with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
            assert archive.testzip() is None
            assert len(archive.namelist()) == 201


def test_cached_pixels_are_those_of_the_service(host: Host) -> None:
    seed = next(seeds)
    answers = [host.ask(f"/generate.npy?seed={seed}") for _ in range(2)]
    kept = np.load(io.BytesIO(answers[1].body), allow_pickle=False)
    with Image.open(io.BytesIO(host.ask(f"/generate.png?seed={seed}").body)) as image:
        assert np.array_equal(np.asarray(image), kept[..., 0])


@needs_proc
def test_slow_client_fills_no_disk_and_makes_no_work_and_may_leave(host: Host) -> None:
    """What it has not read yet is not drawn yet, and never is once it has gone."""
    through = RunningService(host.process, f"http://127.0.0.1:{host.port}")
    with closing(through.connected(LARGE)) as connection:
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
        spent_until_idle(through, 0.0)
        assert [path for path in (host.folder / "proxy").rglob("*") if path.is_file()] == []
        path = f"/interpolate.zip?seeds={next(seeds)},2&frames=4"
        assert host.ask(path).status == 429  # its place is taken
    spent_until_idle(through, 0.0)
    assert host.ask(path).status == 200


def test_under_a_path_every_link_leads_there(under_a_path: Host) -> None:
    ask = under_a_path.ask
    assert ask("/gan").headers["location"].endswith("/gan/")
    for page in ("/gan/", "/gan/docs", "/gan/problems/not-found"):
        text = ask(page).body.decode()
        for link in re.findall(r'(?:src|href)="([^"#]+)"', text):
            assert ask(urljoin(page, unescape(link))).status == 200, link
    told = [
        ask("/gan/generate").headers["content-location"],
        json.loads(ask("/gan/nothing").body)["type"],
        json.loads(ask("/gan/models").body)["models"][0]["url"],
        json.loads(ask("/gan/openapi.json").body)["servers"][0]["url"] + "/generate?seed=1",
    ]
    card = json.loads(ask(told[2]).body)
    for path in (*told, card["directions"], *card["samples"]):
        assert ask(path).status == 200, path
    assert ask("/generate?seed=1").status == 404  # nginx's own


def test_refusal_of_what_is_no_request_leads_there_too(under_a_path: Host) -> None:
    with closing(
        socket.create_connection(("127.0.0.1", under_a_path.direct), TIMEOUT)
    ) as connection:
        connection.sendall(b"no request\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert b'"type": "/gan/problems/' in answer


@pytest.mark.slow
@pytest.mark.browser
def test_explorer_under_a_path_shows_pictures_and_asks_for_nothing_outside_it(
    under_a_path: Host,
) -> None:
    with chromium() as browser:
        here = Visit(browser, f"http://127.0.0.1:{under_a_path.port}")
        page = here.page
        page.goto(f"{here.address}/gan/?seed=42")
        page.locator(".stage canvas.large").wait_for()
        for link in page.locator("#views a").all():
            link.click()
            page.wait_for_timeout(300)
        page.goto(f"{here.address}/gan/?grid=0")
        page.locator("button.tile").first.wait_for()
        assert page.url.startswith(f"{here.address}/gan/?")
        assert len(here.requests) > 20
        assert [path for path in here.requests if not path.startswith("/gan/")] == []
        assert here.wrong == []


# --- edges in front of a shield ---


@dataclass(frozen=True)
class World:
    """Two regions, the shield, and the service that nobody else asks."""

    edges: tuple[Host, Host]
    shield: Host

    def generated(self) -> int:
        """Returns how many pictures the service has computed."""
        with closing(
            http.client.HTTPConnection("127.0.0.1", self.shield.direct, timeout=TIMEOUT)
        ) as connection:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        (found,) = re.findall(r"^ganserve_pictures_total\S* (\S+)$", text, re.MULTILINE)
        return int(float(found))

    def permanent(self, seed: int) -> str:
        """Returns the permanent path of a seed's picture, which nobody has asked for."""
        model = self.shield.ask(f"/generate?seed={seed + 100_000}").headers["image-model"]
        return f"/i/{model}/{seed}.png"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folders = [tmp_path_factory.mktemp(name) for name in ("shield", "near", "far")]
    with (
        service(ZOO / "mnist") as (process, address),
        behind_nginx(folders[0], documented(2), process, address) as shield,
        behind_nginx(folders[1], documented(1), process, f"127.0.0.1:{shield.port}") as near,
        behind_nginx(folders[2], documented(1), process, f"127.0.0.1:{shield.port}") as far,
    ):
        yield World((near, far), shield)


def test_picture_is_generated_once_for_all_regions(world: World) -> None:
    path, before = world.permanent(next(seeds)), world.generated()
    near, far = world.edges
    answers = [near.ask(path), far.ask(path), far.ask(path), near.ask(path)]
    assert [answer.headers["x-edge-status"] for answer in answers] == ["MISS", "MISS", "HIT", "HIT"]
    assert [answer.headers["x-shield-status"] for answer in answers[:2]] == ["MISS", "HIT"]
    assert len({answer.body for answer in answers}) == 1
    assert {answer.headers["cache-control"] for answer in answers} == {
        "public, max-age=31536000, immutable"
    }
    assert world.generated() == before + 1


def test_many_who_ask_for_a_new_picture_at_once_make_one(world: World) -> None:
    path, before = world.permanent(next(seeds)), world.generated()
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda number: world.edges[number % 2].ask(path), range(50)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    asked = [a for a in answers if a.headers["x-edge-status"] == "MISS"]
    assert len(asked) == 2, "one of each edge"
    assert world.generated() == before + 1


def test_edge_serves_what_it_has_with_nobody_behind(world: World) -> None:
    path = world.permanent(next(seeds))
    wanted = world.edges[0].ask(path).body
    with world.shield.frozen():
        answer = world.edges[0].ask(path)
    assert (answer.headers["x-edge-status"], answer.body) == ("HIT", wanted)


@pytest.mark.parametrize("path", ["/generate", "/models", "/livez"])
def test_edges_keep_only_permanent_pictures(world: World, path: str) -> None:
    for _ in range(2):
        answer = world.edges[0].ask(path)
        assert answer.status == 200
        assert "x-edge-status" not in answer.headers


def test_edges_keep_no_error(world: World) -> None:
    path = "/i/mnist@000000000000/7.png"
    for edge in (*world.edges, *world.edges):
        answer = edge.ask(path)
        assert (answer.status, answer.headers["x-edge-status"]) == (404, "MISS")
