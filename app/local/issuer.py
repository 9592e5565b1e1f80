"""The development issuer, which serves the public half of its key (JWKS) on loopback only."""

from typing import Any

from fastapi import FastAPI

from app.errors import StartupError
from app.http1.server.asgi import as_application
from app.local.development_key import DevelopmentKey
from app.process.lifecycle import Process
from app.process.listen import Listen
from app.process.serving import serve

JWKS_PATH = "/.well-known/jwks.json"


async def run_issuer(process: Process) -> None:
    """Run `penstock issuer`: serve the key set until the process is told to stop. Raises StartupError."""
    if process.settings.jwks_url is not None:
        raise StartupError("PENSTOCK_JWKS_URL names another issuer, so the development issuer does not start")
    listen = process.listen or Listen("127.0.0.1", 0)
    if listen.host != "127.0.0.1":
        raise StartupError("the development issuer listens on 127.0.0.1 only")
    key = DevelopmentKey.load(process.settings.data_dir)
    application = FastAPI(openapi_url=None)

    @application.get(JWKS_PATH)
    async def jwks() -> dict[str, Any]:
        return key.jwks()

    process.ready.set()
    await serve(as_application(application), process, listen)
