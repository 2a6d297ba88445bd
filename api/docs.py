"""`/docs`: Swagger UI from files in the installed package, so that it works without the internet."""

from pathlib import Path

import fastapi_offline
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

FILES = Path(fastapi_offline.__file__).parent / "static"
FILES_URL = "/docs/static"
OPENAPI_URL = "/openapi.json"


def install(app: FastAPI) -> None:
    app.mount(FILES_URL, StaticFiles(directory=FILES), name="docs-static")

    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url=OPENAPI_URL,
            title="Tocsin API",
            swagger_js_url=f"{FILES_URL}/swagger-ui-bundle.js",
            swagger_css_url=f"{FILES_URL}/swagger-ui.css",
            swagger_favicon_url=f"{FILES_URL}/favicon.png",
        )

    app.add_api_route("/docs", docs, methods=["GET"], include_in_schema=False)
