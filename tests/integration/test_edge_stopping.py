"""An edge that is told to stop: load balancers see it first, then it stops listening, then it finishes."""

import asyncio

import pytest
import structlog
from redis.asyncio import Redis

from app.process.lifecycle import drain_then_stop
from app.settings import Settings
from tests.support.edge_in_process import OK, Exchange, edge_running

LONGER_THAN_THE_TEST_S = 600.0


async def test_it_says_so_and_serves_until_the_drain_has_ended(settings: Settings, cache: Redis) -> None:
    async with edge_running(settings, cache) as edge:
        assert (await edge.get("/_penstock/readyz")).status == 200
        with structlog.testing.capture_logs() as logs:
            drain_then_stop(edge.process, LONGER_THAN_THE_TEST_S)
            assert (await edge.get("/_penstock/readyz")).status == 503
            assert (await edge.get("/_penstock/healthz")).status == 200
            assert (await edge.get("/")).status == 200, "it serves on, on new connections too"
            assert not edge.process.stop.is_set()
            drain_then_stop(edge.process, LONGER_THAN_THE_TEST_S)
            assert edge.process.stop.is_set(), "a second signal does not wait for the drain"
        assert [log["event"] for log in logs] == ["draining", "stopping"]


async def test_a_request_in_progress_is_finished_after_it_has_stopped_listening(
    settings: Settings, cache: Redis
) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        arrived.set()
        await go_on.wait()
        await exchange.answer(OK)

    async with edge_running(settings, cache) as edge:
        edge.app_server.handler = slow
        asked = asyncio.create_task(edge.get("/"))
        await arrived.wait()
        drain_then_stop(edge.process, 0)
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", edge.port)
            except ConnectionRefusedError:
                break
            except ConnectionResetError:  # it stopped listening in the middle of this connection's handshake
                continue
            writer.close()
            await asyncio.sleep(0.01)
        go_on.set()
        assert (await asked).status == 200


@pytest.mark.parametrize("drain_s", [0.0, LONGER_THAN_THE_TEST_S])
async def test_a_process_that_was_told_to_stop_is_not_ready(settings: Settings, cache: Redis, drain_s: float) -> None:
    async with edge_running(settings, cache) as edge:
        drain_then_stop(edge.process, drain_s)
        assert edge.process.draining.is_set()
        assert edge.process.stop.is_set() == (drain_s == 0)
