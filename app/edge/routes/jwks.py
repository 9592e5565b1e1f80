"""`/_penstock/jwks.json`: the public keys of `Penstock-Identity`."""

from fastapi import APIRouter, Response

from app.edge.documents import KeySet
from app.edge.routes.dependencies import PartsOf
from app.web.problem_handlers import response_of
from app.web.problems import json_reply

router = APIRouter(tags=["identity"])


@router.get("/jwks.json", response_model=KeySet)
async def jwks(parts: PartsOf) -> Response:
    """Publish the keys as a JSON Web Key Set (RFC 7517)."""
    return response_of(json_reply(200, parts.identity_tokens.jwks()))
