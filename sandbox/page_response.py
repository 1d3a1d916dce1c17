"""Responses with the files of a page that loads nothing from other servers."""

from http import HTTPStatus
from pathlib import Path

from sandbox.http_server import Response

_MEDIA_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'{styles}; connect-src 'self'; "
    "img-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)


def file_response(file: Path, *, inline_styles: bool = False) -> Response:
    """Return the response with a file of a page: its HTML, script, or style sheet."""
    media_type = f"{_MEDIA_TYPES[file.suffix]}; charset=utf-8"
    return page_response(file.read_bytes(), media_type, inline_styles=inline_styles)


def page_response(body: bytes, media_type: str, *, inline_styles: bool = False) -> Response:
    """Return content of a page, which may have inline styles and never inline scripts."""
    styles = " 'unsafe-inline'" if inline_styles else ""
    return Response(
        status=HTTPStatus.OK,
        headers=[
            ("Content-Type", media_type),
            ("Content-Security-Policy", _CONTENT_SECURITY_POLICY.format(styles=styles)),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cache-Control", "no-store"),
        ],
        body=body,
    )
