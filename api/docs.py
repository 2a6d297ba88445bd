"""Serve `/docs`: Swagger UI from files of the installed package, so that it works without internet access."""

from pathlib import Path

import fastapi_offline
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles

STATIC_DIRECTORY = Path(fastapi_offline.__file__).parent / "static"
STATIC_URL = "/docs/static"
START_SCRIPT_URL = "/docs/start.js"
PAGE_HTML = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Tocsin API</title>
<link rel="icon" href="{STATIC_URL}/favicon.png">
<link rel="stylesheet" href="{STATIC_URL}/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="{STATIC_URL}/swagger-ui-bundle.js"></script>
<script src="{START_SCRIPT_URL}"></script>
</body>
</html>
"""
# Without `validatorUrl: null`, Swagger UI sends the document's address to a public service.
START_SCRIPT = """SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  layout: "BaseLayout",
  deepLinking: true,
  showExtensions: true,
  showCommonExtensions: true,
  validatorUrl: null,
});
"""
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def install(app: FastAPI) -> None:
    app.mount(STATIC_URL, StaticFiles(directory=STATIC_DIRECTORY), name="docs-static")

    async def docs() -> HTMLResponse:
        return HTMLResponse(PAGE_HTML, headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})

    async def start() -> Response:
        return Response(START_SCRIPT, media_type="text/javascript")

    app.add_api_route("/docs", docs, methods=["GET"], include_in_schema=False)
    app.add_api_route(START_SCRIPT_URL, start, methods=["GET"], include_in_schema=False)
