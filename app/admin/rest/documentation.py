"""`/docs`: the API's documentation in Swagger UI, all of which comes from this process.

The page works without the internet, and under a policy that allows no script or style of another origin or inline.
"""

from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Response

from app.errors import NotFound

router = APIRouter(prefix="/docs", include_in_schema=False)

ASSETS = "fastapi_swagger.resources"
"""The package that bundles Swagger UI; of its own code nothing is used."""

MEDIA_TYPES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Swagger UI's style sheet has its pictures as `data:` URLs."""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Penstock admin API</title>
<link rel="icon" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
START = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
});
"""
"""`validatorUrl`: by default Swagger UI sends the document's address to a service of its own. Addresses are relative,
so that the page also works below a path of a reverse proxy."""


@router.api_route("", methods=["GET", "HEAD"])
async def page() -> Response:
    """The page, which loads the rest."""
    return Response(PAGE, media_type="text/html", headers={"Content-Security-Policy": POLICY, **_NO_SNIFFING})


@router.api_route("/start.js", methods=["GET", "HEAD"])
async def start_script() -> Response:
    """The script that starts Swagger UI. It is a file of its own, because the policy allows no inline scripts."""
    return Response(START, media_type="text/javascript", headers=_NO_SNIFFING)


@router.api_route("/{name}", methods=["GET", "HEAD"])
async def asset(name: str) -> Response:
    """A file of Swagger UI. Raises NotFound."""
    if name not in MEDIA_TYPES:
        raise NotFound("There is no such file.")
    return Response(_content(name), media_type=MEDIA_TYPES[name], headers=_CACHED)


@cache
def _content(name: str) -> bytes:
    return files(ASSETS).joinpath(name).read_bytes()


_NO_SNIFFING = {"X-Content-Type-Options": "nosniff"}
_CACHED = {**_NO_SNIFFING, "Cache-Control": "max-age=3600"}
