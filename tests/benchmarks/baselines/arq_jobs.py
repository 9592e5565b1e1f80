"""The jobs of arq to compare with. Runs in the environment of the baselines and prints one line of JSON.

    python arq_jobs.py enqueue REDIS_URL SECONDS CONCURRENCY    enqueue as many jobs as it can
    python arq_jobs.py fill REDIS_URL JOBS                      enqueue so many
    python arq_jobs.py drain REDIS_URL                          work until none is left

A job has a body of 400 bytes and does nothing. The worker keeps results for an hour, as is arq's default. It runs up to
256 jobs at once and hardly pauses between polls, which is faster than with its defaults. The event loop is uvloop.
"""

import asyncio
import json
import sys
import time
from typing import Any

import uvloop
from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker

BODY = "x" * 400


async def do_nothing(ctx: dict[str, Any], body: str) -> None:
    pass


async def enqueue(url: str, seconds: float, concurrency: int) -> dict[str, float]:
    pool = await create_pool(_redis(url))
    start, cpu, jobs = time.perf_counter(), time.process_time(), 0

    async def one() -> None:
        nonlocal jobs
        while time.perf_counter() - start < seconds:
            await pool.enqueue_job("do_nothing", BODY)
            jobs += 1

    await asyncio.gather(*(one() for _ in range(concurrency)))
    return _measured(jobs, start, cpu)


async def fill(url: str, jobs: int) -> dict[str, float]:
    pool = await create_pool(_redis(url))
    start, cpu = time.perf_counter(), time.process_time()
    for first in range(0, jobs, 256):
        some = range(first, min(jobs, first + 256))
        await asyncio.gather(*(pool.enqueue_job("do_nothing", BODY) for _ in some))
    return _measured(jobs, start, cpu)


async def drain(url: str) -> dict[str, float]:
    worker = Worker(
        [do_nothing],
        redis_settings=_redis(url),
        burst=True,
        max_jobs=256,
        poll_delay=0.005,
        queue_read_limit=2560,
        handle_signals=False,
    )
    start, cpu = time.perf_counter(), time.process_time()
    await worker.async_run()
    measured = _measured(worker.jobs_complete, start, cpu)
    await worker.close()
    return measured | {"failed": worker.jobs_failed, "retried": worker.jobs_retried}


def _redis(url: str) -> RedisSettings:
    settings = RedisSettings.from_dsn(url)
    settings.max_connections = 512
    return settings


def _measured(jobs: int, start: float, cpu: float) -> dict[str, float]:
    return {"jobs": jobs, "seconds": time.perf_counter() - start, "cpu_s": time.process_time() - cpu}


async def main(command: str, url: str, *numbers: str) -> dict[str, float]:
    match command:
        case "enqueue":
            return await enqueue(url, float(numbers[0]), int(numbers[1]))
        case "fill":
            return await fill(url, int(numbers[0]))
    return await drain(url)


if __name__ == "__main__":
    uvloop.install()
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
