"""The pages' own files: a style sheet, a script, an icon. Read once; their addresses change with their content."""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from pathlib import Path

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

FOLDER = Path(__file__).parent / "static"
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
ICON = "hive.svg"
HASH_LENGTH = 12
FOR_GOOD = "public, max-age=31536000, immutable"
"""The address holds the content's hash."""
BRIEFLY = "public, max-age=60"

_FILES = {path.name: path.read_bytes() for path in sorted(FOLDER.iterdir()) if path.suffix in TYPES}
_HASHES = {name: hashlib.sha256(content).hexdigest()[:HASH_LENGTH] for name, content in _FILES.items()}


def url(name: str) -> str:
    """Where a page finds the file."""
    return f"/static/{name}?v={_HASHES[name]}"


async def _file(request: Request) -> Response:
    name = request.url.path.rpartition("/")[2]
    is_this_one = request.query_params.get("v") == _HASHES[name]
    headers = {
        "Cache-Control": FOR_GOOD if is_this_one else BRIEFLY,
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Content-Security-Policy": "default-src 'none'",
    }
    return Response(_FILES[name], media_type=TYPES[Path(name).suffix], headers=headers)


async def _favicon(_request: Request) -> Response:
    return RedirectResponse(url(ICON), HTTPStatus.TEMPORARY_REDIRECT)


ROUTES: list[BaseRoute] = [
    *(Route(f"/static/{name}", _file) for name in _FILES),
    Route("/favicon.ico", _favicon),  # browsers ask for it where no page names an icon
]
