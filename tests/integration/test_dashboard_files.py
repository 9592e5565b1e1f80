"""How the admin process serves the dashboard: the page on every path, assets that are kept, and what is no page."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import cramjam
import httpx
import pytest
from redis.asyncio import Redis

from app.admin.dashboard.build_state import locked, write_state
from app.admin.dashboard.files import DashboardFiles
from app.admin.rest.dashboard import accepted_codings
from app.redis_wire.scripts import Scripts
from app.settings import Settings
from tests.support.admin_in_process import Admin, admin_running
from tests.support.dashboard_build import SCRIPT, write_build

ASSET = "/assets/index-Ab12Cd34.js"
PLAIN = {"Accept-Encoding": "identity"}


class Dashboard:
    """An admin API whose dashboard is in a folder of the test."""

    def __init__(self, admin: Admin, folder: Path) -> None:
        self.admin, self.folder = admin, folder
        self.now_s = 0.0
        base_path = admin.parts.base_path
        files = DashboardFiles(folder, base_path, lambda: self.now_s)
        admin.client._transport.app.state.parts = replace(admin.parts, dashboard=files)  # type: ignore[attr-defined]

    async def get(self, path: str, method: str = "GET", **headers: str) -> httpx.Response:
        self.now_s += 1
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.admin.client.request(method, path, headers=PLAIN | named)


@pytest.fixture
async def dashboard(admin: Admin, tmp_path: Path) -> AsyncIterator[Dashboard]:
    write_build(tmp_path / "built")
    yield Dashboard(admin, tmp_path / "built")


@pytest.fixture
async def below(
    settings: Settings, cache: Redis, queue: Redis, counting: Scripts, queueing: Scripts, tmp_path: Path
) -> AsyncIterator[Dashboard]:
    """A dashboard below a base path."""
    write_build(tmp_path / "built")
    stores = (settings.mongodb_url, cache, queue, counting, queueing)
    async with admin_running(*stores, admin_base_path="/tools/penstock") as admin:
        yield Dashboard(admin, tmp_path / "built")


@pytest.mark.parametrize(
    "path",
    ["/", "/rules", "/rules/id/x", "/flows/user%3Aa%40b.example", "/sign-in/callback?code=c&state=s", "/assets.x"],
)
async def test_every_path_that_is_no_route_shows_the_page(dashboard: Dashboard, path: str) -> None:
    answer = await dashboard.get(path)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert '<base href="/">' in answer.text
    assert answer.headers["Cache-Control"] == "no-cache"
    again = await dashboard.get(path, If_None_Match=answer.headers["ETag"])
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == answer.headers["ETag"]
    head = await dashboard.get(path, "HEAD")
    assert (head.status_code, head.headers["ETag"]) == (200, answer.headers["ETag"])


@pytest.mark.parametrize(
    "path",
    [
        "/v1",
        "/v1/nothing",
        "/v1/rules/x/nothing",
        "/docs/nothing/at/all",
        "/openapi.json/x",
        "/assets/nothing.js",
        "/assets/%2e%2e/%2e%2e/files.py",
        "/assets/index-Ab12Cd34.js/",
        "/metrics",
        "/healthz",
    ],
)
async def test_what_is_not_found_where_no_page_is_stays_a_problem(dashboard: Dashboard, path: str) -> None:
    for method in ("GET", "HEAD", "POST"):
        answer = await dashboard.get(path, method)
        assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")


async def test_files_come_from_the_build_and_from_nowhere_else(dashboard: Dashboard) -> None:
    (dashboard.folder.parent / "secret.txt").write_text("secret")
    for path in ("/../secret.txt", "/%2e%2e/secret.txt", "/%2e%2e%2fsecret.txt", "//etc/passwd", "/built/index.html"):
        assert "secret" not in (await dashboard.get(path)).text
    answer = await dashboard.get("/icon.svg")
    assert (answer.headers["Content-Type"], answer.headers["Cache-Control"]) == ("image/svg+xml", "no-cache")


async def test_a_page_takes_get_and_head_alone(dashboard: Dashboard) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        for path in ("/", "/rules", ASSET):
            answer = await dashboard.get(path, method)
            assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")
            assert answer.headers["Content-Type"] == "application/problem+json"


async def test_assets_are_kept_for_good_and_come_compressed(dashboard: Dashboard) -> None:
    for accepted, coding in [("br", "br"), ("gzip, deflate, br", "br"), ("gzip", "gzip"), ("br;q=0, gzip", "gzip")]:
        async with dashboard.admin.client.stream("GET", ASSET, headers={"Accept-Encoding": accepted}) as answer:
            raw = b"".join([part async for part in answer.aiter_raw()])
        assert answer.headers["Content-Encoding"] == coding
        assert answer.headers["Vary"] == "Accept-Encoding"
        assert answer.headers["Content-Length"] == str(len(raw))
        assert len(raw) < len(SCRIPT) / 10
        plain = gzip.decompress(raw) if coding == "gzip" else bytes(cramjam.brotli.decompress(raw))
        assert plain.decode() == SCRIPT
        dashboard.now_s += 1
    plain_answer = await dashboard.get(ASSET)
    assert "Content-Encoding" not in plain_answer.headers
    assert plain_answer.text == SCRIPT
    assert plain_answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert plain_answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
    font = await dashboard.get("/assets/icon-Ij90Kl12.woff2", Accept_Encoding="br, gzip")
    assert ("Content-Encoding" in font.headers, font.headers["Content-Type"]) == (False, "font/woff2")


@pytest.mark.parametrize(
    ("accept", "codings"),
    [
        ("", {""}),
        ("gzip", {"gzip"}),
        ("GZIP ; Q=0.5,br;q=1", {"gzip", "br"}),
        ("br;q=0.000, gzip;q=0.001", {"gzip"}),
        ("br; q=0", set()),
    ],
)
def test_codings_that_a_client_accepts(accept: str, codings: set[str]) -> None:
    assert accepted_codings(accept) == codings


async def test_every_answer_is_guarded(dashboard: Dashboard) -> None:
    for path in ("/", ASSET, "/icon.svg"):
        headers = (await dashboard.get(path)).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
        assert policy == {
            "default-src": "'none'",
            "script-src": "'self'",
            "style-src": "'self'",
            "img-src": "'self' data:",
            "font-src": "'self'",
            "connect-src": "'self'",
            "base-uri": "'self'",
            "form-action": "'none'",
            "frame-ancestors": "'none'",
        }
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"


async def test_a_new_build_is_noticed_and_a_broken_one_leaves_the_last(dashboard: Dashboard) -> None:
    assert "<title>Penstock</title>" in (await dashboard.get("/")).text
    write_build(dashboard.folder, " two")
    assert "<title>Penstock two</title>" in (await dashboard.get("/")).text
    (dashboard.folder / "index.html").write_text("<html>half a page")
    assert "<title>Penstock two</title>" in (await dashboard.get("/")).text
    (dashboard.folder / "index.html").unlink()
    assert "<title>Penstock two</title>" in (await dashboard.get("/")).text


async def test_many_at_once_read_the_files_once(dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    monkeypatch.setattr(DashboardFiles, "_look", lambda _: read.append(1))
    await asyncio.gather(*(dashboard.admin.client.get("/") for _ in range(20)))
    assert read == [1]


async def test_until_it_is_built_the_page_says_why_and_asks_again(dashboard: Dashboard) -> None:
    dashboard.folder.rename(dashboard.folder.with_name("elsewhere"))
    state = dashboard.folder.parent
    log = state / "build.log"
    log.write_text("line\n" * 100 + "error: <script>alert(1)</script>\n")
    not_built = await dashboard.get("/rules")
    assert (not_built.status_code, not_built.headers["Content-Type"]) == (503, "text/html; charset=utf-8")
    assert "The dashboard is not built" in not_built.text
    with locked(state):
        write_state(state, "", log)
        under_way = await dashboard.get("/")
        assert "is being built" in under_way.text
        assert str(log) in under_way.text
        assert 'http-equiv="refresh"' in under_way.text
    assert "The dashboard is not built" in (await dashboard.get("/")).text, "a build that was killed is not under way"
    write_state(state, "npm run build ended with the exit code 1", log)
    failed = await dashboard.get("/")
    assert "Building the dashboard failed" in failed.text
    assert "exit code 1" in failed.text
    assert "&lt;script&gt;alert(1)" in failed.text
    assert failed.text.count("\nline") <= 12
    for answer in (not_built, under_way, failed):
        assert (answer.headers["Retry-After"], answer.headers["Cache-Control"]) == ("2", "no-store")
        assert "<script" not in answer.text
        policy = answer.headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert "style-src 'sha256-" in policy
    assert (await dashboard.get(ASSET)).status_code == 404


@pytest.mark.parametrize("prefix", ["", "/tools/penstock"], ids=["the proxy takes it off", "the proxy leaves it"])
async def test_below_a_base_path_all_addresses_are_right_either_way(below: Dashboard, prefix: str) -> None:
    for path in ("/", "/rules/id/x"):
        assert '<base href="/tools/penstock/">' in (await below.get(prefix + path)).text
    assert (await below.get(prefix + ASSET)).text == SCRIPT
    if prefix:
        assert '<base href="/tools/penstock/">' in (await below.get(prefix)).text
    document = (await below.get(f"{prefix}/openapi.json")).json()
    assert document["servers"] == [{"url": "/tools/penstock"}]
    admin = below.admin
    rule = {"rule_id": "r", "key_type": "user", "key_value": "*", "limit": 1, "window_seconds": 1}
    made = await admin("POST", f"{prefix}/v1/rules", rule)
    assert (made.status_code, made.headers["Location"]) == (201, "/tools/penstock/v1/rules/r")
    started = await admin("POST", f"{prefix}/v1/operations", {"kind": "purge_jobs", "filter": {"rule_id": "r"}})
    assert started.status_code == 202
    assert started.headers["Location"].startswith("/tools/penstock/v1/operations/")
    for made_at in (made.headers["Location"], started.headers["Location"]):
        assert (await admin("GET", made_at)).status_code == 200
    refused = await admin("POST", f"{prefix}/v1/rules/r", {})
    assert (refused.status_code, refused.headers["Allow"]) == (405, "DELETE, GET, HEAD, PATCH, PUT")
    assert (await below.get(f"{prefix}/v1/nothing")).status_code == 404
    assert (await below.get(f"{prefix}/docs")).status_code == 200


async def test_a_path_that_only_begins_like_the_base_path_is_no_other_route(below: Dashboard) -> None:
    assert (await below.get("/tools/penstockv1/rules")).headers["Content-Type"].startswith("text/html")
    assert (await below.get("/tools/penstock/tools/penstock/v1/rules")).headers["Content-Type"].startswith("text/html")
