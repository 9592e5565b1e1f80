"""A page in headless Chromium uses a service behind an edge of another origin: what is deferred can be followed."""

import time
from pathlib import Path

import pytest
from redis.asyncio import Redis

from app.jobs.model import StoredResponse
from app.queue.flows import Flows
from app.settings import Settings
from tests.support.browser import opened, site
from tests.support.edge_in_process import EVERY_ADDRESS, Exchange
from tests.support.job_steps import DRAIN, answered, client, edge_for_jobs, leased

SCRIPT = """
const edge = "EDGE", bearer = {Authorization: "TOKEN"};
const names = ["location", "operation-location", "retry-after", "ratelimit", "ratelimit-policy", "penstock-job-id",
    "penstock-job-status"];
const asked = async (target, options = {}) => {
    const answer = await fetch(new URL(target, edge), options);
    const headers = Object.fromEntries(names.map((name) => [name, answer.headers.get(name)]));
    return {status: answer.status, headers, text: await answer.text()};
};
const post = {method: "POST", headers: {...bearer, "Content-Type": "application/json"}, body: "{}"};
await say(await asked("/x", post));
const deferred = await asked("/x", {...post, credentials: "include"});
await say(deferred);
let job;
do {
    job = await asked(deferred.headers.location, {headers: bearer});
} while (["queued", "running"].includes(JSON.parse(job.text).status));
await say(job);
await say(await asked(deferred.headers.location + "/response", {headers: bearer}));
await say(await asked(deferred.headers.location, {method: "DELETE", headers: bearer}));
await say(await asked("/x", {headers: {Authorization: "Bearer nonsense"}}));
await asked("/never").catch(() => null);
await say(await asked("/never"));
"""


async def allows_pages(exchange: Exchange) -> None:
    """An app server that lets pages of every origin read its answers, send what they like, and use cookies."""
    origin = dict(exchange.headers).get(b"origin", b"null")
    lines = [b"HTTP/1.1 200 OK", b"Access-Control-Allow-Origin: " + origin, b"Access-Control-Allow-Credentials: true"]
    if exchange.head.startswith(b"OPTIONS"):
        lines += [b"Access-Control-Allow-Headers: authorization, content-type", b"Access-Control-Max-Age: 600"]
    await exchange.answer(b"\r\n".join([*lines, b"Content-Length: 2", b"", b"ok"]))


async def test_a_page_follows_what_was_deferred(settings: Settings, cache: Redis, flows: Flows, tmp_path: Path) -> None:
    async with site() as page, edge_for_jobs(settings, cache, cors_origins=(page.origin,)) as edge:
        edge.app_server.handler = allows_pages
        alice = await client(edge, "alice", drain=DRAIN)
        await edge.rule("never", **EVERY_ADDRESS, limit=1, window_seconds=3600, match={"path_prefix": "/never"})
        token = alice.who[0].removeprefix("Authorization: ")
        page.script = SCRIPT.replace("EDGE", f"http://127.0.0.1:{edge.port}").replace("TOKEN", token)
        async with opened(page.origin, tmp_path):
            live = await page.hears()
            assert (live.get("status"), live.get("text")) == (200, "ok"), live
            deferred = await page.hears()
            assert deferred.get("status") == 202, deferred
            assert None not in deferred["headers"].values(), "a page can read all of them"
            assert deferred["headers"]["penstock-job-status"] == "queued"
            [running] = await leased(flows)
            headers = [(b"content-type", b"text/plain"), (b"access-control-allow-origin", b"https://other.example")]
            await answered(flows, running, StoredResponse(201, headers, b"made"))
            job = await page.hears()
            assert (job["status"], running.id in job["text"]) == (200, True)
            response = await page.hears()
            assert (response["status"], response["text"]) == (201, "made")
            assert response["headers"]["penstock-job-status"] == "succeeded"
            assert (await page.hears())["status"] == 409
            since = time.monotonic()
            assert (await page.hears())["status"] == 401
            refused = await page.hears()
            retry_after_s = int(refused["headers"]["retry-after"])
            assert refused["status"] == 429
            assert 3600 - (time.monotonic() - since) <= retry_after_s <= 3600
            assert refused["headers"]["ratelimit"].endswith(f"t={retry_after_s}")
        lines = [one.head.split(b"\r\n")[0] for one in edge.app_server.arrived]
        preflight = b"OPTIONS /x HTTP/1.1"  # once with, once without cookies
        assert lines == [preflight, b"POST /x HTTP/1.1", preflight, b"GET /never HTTP/1.1"]


@pytest.mark.parametrize("origins", [(), ("https://shop.example",)])
async def test_a_page_of_another_origin_reads_nothing(
    settings: Settings, cache: Redis, tmp_path: Path, origins: tuple[str, ...]
) -> None:
    async with site() as page, edge_for_jobs(settings, cache, cors_origins=origins) as edge:
        page.script = f'await say(await (await fetch("http://127.0.0.1:{edge.port}/_penstock/healthz")).text());'
        async with opened(page.origin, tmp_path):
            assert "Failed to fetch" in (await page.hears())["error"]
