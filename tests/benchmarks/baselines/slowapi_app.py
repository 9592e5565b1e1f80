"""slowapi on FastAPI with Redis, as its documentation shows it. It only decides and forwards nothing.

REDIS_URL: the Redis in which it counts. Runs in the environment of the baselines.
"""

import os

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse
from slowapi import Limiter, _rate_limit_exceeded_handler
from slowapi.errors import RateLimitExceeded


def by_user(request: Request) -> str:
    return request.headers.get("authorization", "")


limiter = Limiter(key_func=by_user, storage_uri=os.environ["REDIS_URL"])
app = FastAPI()
app.state.limiter = limiter
app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)


async def answer(request: Request) -> PlainTextResponse:
    return PlainTextResponse("allowed")


async def answer_once(request: Request) -> PlainTextResponse:
    return PlainTextResponse("allowed")


app.get("/allowed")(limiter.limit("1000000000/minute")(answer))
app.get("/reject")(limiter.limit("1/hour")(answer_once))
