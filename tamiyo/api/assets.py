"""The pages' stylesheet, scripts and pictures, read and compressed once; no path of a request is opened."""

import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from fastapi import APIRouter, Request, Response

from tamiyo.api.compression import accepts_gzip, compressed
from tamiyo.api.errors import AnswerError

#: A year: a file's address names its content, so that a changed file has another address.
_FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One file as it is served: its bytes, compressed ones if they are fewer, its hash and its type."""

    content: bytes
    compressed: bytes | None
    digest: str
    media_type: str


class Assets:
    """The files of a folder by their path inside it, such as `app.css` or `vendor/uplot.js`."""

    def __init__(self, folder: Path) -> None:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        self._assets = {path.relative_to(folder).as_posix(): _asset(path) for path in files}

    def url(self, name: str) -> str:
        """Return the address of a file, which changes with its content."""
        return f"/static/{quote(name)}?v={self._assets[name].digest[:12]}"

    def respond(self, request: Request, name: str) -> Response:
        """Answer with a file, or 304 where the client has it already."""
        asset = self._assets.get(name)
        if asset is None:
            raise AnswerError(404, "not-found", "no such file", mend="reload the page that named it")
        content, tag = asset.content, f'"{asset.digest}"'
        is_named = request.query_params.get("v") == asset.digest[:12]
        headers = {"Cache-Control": _FOR_EVER if is_named else "no-cache", "Vary": "Accept-Encoding"}
        if asset.compressed is not None and accepts_gzip(request.headers.get("accept-encoding", "")):
            content, tag = asset.compressed, f'"{asset.digest}-gzip"'
            headers["Content-Encoding"] = "gzip"
        headers["ETag"] = tag
        if tag in request.headers.get("if-none-match", ""):
            headers.pop("Content-Encoding", None)
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=asset.media_type, headers=headers)


def assets_router(assets: Assets) -> APIRouter:
    """Return the route of the files."""
    router = APIRouter()

    @router.get("/static/{name:path}", include_in_schema=False)
    async def get_asset(request: Request, name: str) -> Response:
        return assets.respond(request, name)

    return router


def _asset(path: Path) -> Asset:
    content = path.read_bytes()
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Asset(
        content=content,
        compressed=compressed(content, kind),
        digest=hashlib.sha256(content).hexdigest(),
        media_type=kind,
    )
