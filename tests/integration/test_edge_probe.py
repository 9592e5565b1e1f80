import asyncio, base64, json, pytest, time
from collections.abc import AsyncIterator
from tests.integration.edge import *
from app.settings import Settings

@pytest.fixture
async def edge(settings, cache):
    async with edge_running(settings, cache) as e:
        yield e

def b64(o): return base64.urlsafe_b64encode(json.dumps(o).encode()).rstrip(b"=").decode()

async def test_alg_list(edge):
    t = f"{b64({'alg':['ES256'],'kid':'k1'})}.{b64({})}.AAAA"
    r = await edge.get("/", f"Authorization: Bearer {t}")
    assert r.status == 401, r

async def test_surrogate_sub(edge):
    r = await edge.get("/", edge.bearer("a\ud800"))
    assert r.status == 401, r

async def test_surrogate_claim(edge):
    r = await edge.get("/", edge.bearer("a", tier="\ud800"))
    assert r.status in (200, 401), r

@pytest.mark.parametrize("req,want", [
 (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 405),
 (b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\r\n", 501),
 (b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: close\r\n\r\n", 501),
 (b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400),
 (b"GET /\xff HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400),
 (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n", 400),
 (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx", 400),
 (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\nConnection: close\r\n\r\n0\r\n\r\n", 400),
 (b"GET / HTTP/1.1\r\nHost: a\r\nIdempotency-Key: a\r\nIdempotency-Key: b\r\nConnection: close\r\n\r\n", 200),
])
async def test_sanity(edge, req, want):
    r = said(await edge.raw(req)); assert r.status == want, r

async def test_304_with_length(edge, caplog):
    async def h(x): await x.answer(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: x\r\n\r\n")
    edge.app_server.handler = h
    r = await edge.get("/"); assert r.status == 304
    assert not caplog.records, caplog.text

async def test_head(edge, caplog):
    async def h(x): await x.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: x\r\n\r\n")
    edge.app_server.handler = h
    raw = await edge.raw(b"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    r = said(raw); assert r.status == 200 and r.headers["content-length"] == "5", raw
    assert not caplog.records, caplog.text

async def test_status_999(edge):
    async def h(x): await x.answer(b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n")
    edge.app_server.handler = h
    r = await edge.get("/"); assert r.status in (999, 502)

async def test_utf8_header(edge):
    v = "Zoë".encode()
    await edge.raw(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Name: " + v + b"\r\n\r\n")
    assert (b"x-name", v) in edge.app_server.arrived[0].headers, edge.app_server.arrived[0].head

@pytest.mark.parametrize("target", ["/a|b\"c<d>^{}`", "/a%zz", "/a?b?c", "/a?x=%2F&y=é", "/a;b=c?d#e", "/x?", "/a%2Fb", "//a//b", "/a?b=[1]", "/a?%00"])
async def test_raw_target(edge, target):
    raw = await edge.raw(b"GET " + target.encode() + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    r = said(raw)
    if r.status == 200:
        assert edge.app_server.arrived[0].head.split(b" ")[1] == target.encode(), edge.app_server.arrived[0].head
    else: assert r.status == 400

async def test_x_forwarded_other(edge):
    await edge.get("/", "X-Forwarded-User: admin", "X-Forwarded-Port: 1", "X_Forwarded_User: a")
    names = {n for n, _ in edge.app_server.arrived[0].headers}
    assert not {b"x-forwarded-user", b"x-forwarded-port", b"x_forwarded_user"} & names

async def test_http10_framing(edge):
    async def h(x): await x.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
    edge.app_server.handler = h
    raw = await edge.raw(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
    assert raw.endswith(b"\r\n\r\nok"), raw

async def test_content_length_kept(edge):
    async def h(x):
        await x.reader.readexactly(3); await x.answer(OK)
    edge.app_server.handler = h
    await edge.raw(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc")
    hs = dict(edge.app_server.arrived[0].headers)
    assert hs[b"content-length"] == b"3" and b"transfer-encoding" not in hs
    print(edge.app_server.arrived[0].head)

async def test_post_nothing_added(edge):
    await edge.raw(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    print(edge.app_server.arrived[0].head)
    names = {n for n, _ in edge.app_server.arrived[0].headers}
    assert names == {b"host", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-request-id"}, names

async def test_cut_mid_body(edge, caplog):
    async def h(x): await x.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok")
    edge.app_server.handler = h
    raw = await edge.raw(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    r = said(raw); assert r.status == 200 and len(r.body) < 100
    print("LOG", caplog.text[-600:])

async def test_cut_mid_chunked(edge):
    async def h(x): await x.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
    edge.app_server.handler = h
    raw = await edge.raw(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert not raw.endswith(b"0\r\n\r\n"), raw

async def test_no_answer_is_502(edge):
    async def h(x): pass
    edge.app_server.handler = h
    r = await edge.get("/"); assert r.status == 502
    assert len(edge.app_server.arrived) == 1, "no retries"

async def test_client_leaves_in_upload(edge, caplog):
    async def h(x):
        await x.reader.readexactly(1000)
    edge.app_server.handler = h
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc"); await writer.drain()
    while not edge.app_server.arrived: await asyncio.sleep(.02)
    writer.close()
    await asyncio.wait_for(edge.app_server.cut.wait(), 10)
    for _ in range(200):
        if edge.counted("penstock_requests_total", decision="client_gone"): break
        await asyncio.sleep(.02)
    print("LOG", caplog.text[-600:])
    assert edge.counted("penstock_upstream_errors_total", kind="UpstreamCut") == 0
    assert edge.counted("penstock_requests_total", decision="client_gone") == 1

async def test_client_leaves_waiting(edge, caplog):
    async def h(x):
        await x.reader.readexactly(1000)
    edge.app_server.handler = h
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"); await writer.drain()
    while not edge.app_server.arrived: await asyncio.sleep(.02)
    writer.close()
    await asyncio.wait_for(edge.app_server.cut.wait(), 10)
    assert "Traceback" not in caplog.text

async def test_mixed_429(edge):
    await edge.rule("u", key_type="user", key_value="*", limit=1, window_seconds=3600, on_limit="defer")
    await edge.rule("i", key_type="ip", key_value="*", limit=1, window_seconds=5)
    b = edge.bearer("x")
    assert (await edge.get("/", b)).status == 200
    r = await edge.get("/", b)
    assert r.status == 429
    import re
    ts = [int(t) for t in re.findall(r"t=(\d+)", r.headers["ratelimit"])]
    assert int(r.headers["retry-after"]) >= max(ts), r.headers

async def test_slow_bad_tokens(settings, cache):
    pass

async def test_big_jwks(settings, cache):
    import http.server
    import threading
    from jwt.algorithms import ECAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    async with edge_running(settings, cache) as e: pass

async def test_api_headers(edge):
    for p in ("/_penstock/jobs/", "/_penstock/openapi.json", "/_penstock/nope", "/_penstock/jwks.json", "/_penstock/limits", "/_penstock/healthz", "/_penstock/jobs/x"):
        r = await edge.get(p)
        print(p, r.status, r.headers)
        assert r.headers.get("cache-control") == "no-store", (p, r.headers)

async def test_shadow_defer_key(edge):
    await edge.rule("s", key_type="ip", key_value="*", limit=1, window_seconds=60, on_limit="defer", shadow=True)
    r = await edge.get("/", "Idempotency-Key: k"); assert r.status == 200, r

async def test_poll_slow(settings, cache):
    async with edge_running(settings, cache, poll_limit_per_s=0.5) as e:
        assert (await e.get("/_penstock/limits")).status == 200
        assert (await e.get("/_penstock/limits")).status == 429

@pytest.mark.parametrize("k", ["a b", '"abc', 'abc"', '"a\\b"', '"a";p=1'])
async def test_idem_keys(edge, k):
    await edge.rule("s", key_type="user", key_value="*", limit=100, window_seconds=60, on_limit="defer")
    r = await edge.get("/", edge.bearer("u"), f"Idempotency-Key: {k}"); assert r.status == 400, r

async def test_pipelined(edge):
    raw = await edge.raw(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert raw.count(b"200 OK") == 2

async def test_slow_upload(settings, cache):
    async with edge_running(settings, cache, upstream_read_timeout_s=0.4) as e:
        async def h(x):
            await x.reader.readexactly(10); await x.answer(OK)
        e.app_server.handler = h
        reader, writer = await asyncio.open_connection("127.0.0.1", e.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nConnection: close\r\n\r\n")
        for _ in range(10):
            writer.write(b"x"); await asyncio.sleep(.12)
        raw = await reader.read(); writer.close()
        assert said(raw).status == 200, raw

async def test_early_answer(edge):
    async def h(x): await x.answer(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    edge.app_server.handler = h
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n" + b"x"*100000)
    raw = await asyncio.wait_for(reader.read(100), 10); writer.close()
    assert raw.startswith(b"HTTP/1.1 403"), raw
