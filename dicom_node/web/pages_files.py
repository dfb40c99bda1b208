"""What a page loads: frames, summary pictures, reports."""

import gzip
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import TYPE_CHECKING, Final

from starlette.requests import Request
from starlette.responses import FileResponse, Response

import db.desk_reports
from db.desk_images import images_of
from db.desk_reports import ReportLine
from dicom_node.core.errors import PixelError, ReportError
from dicom_node.core.states import ReportKind
from dicom_node.web.desk import Desk
from dicom_node.web.pages_study import load_study, read_number
from dicom_node.web.problems import Problem
from dicom_node.web.surroundings import words_for
from dicom_node.web.templates import render

if TYPE_CHECKING:
    from dicom_node.web.picture_presets import Asked

_FRAME_MAX: Final = 1_000_000
_SIDE_MAX: Final = 1536
_SIDE_LEAST: Final = 32
# Decoding takes memory: so many at once, and for so long another request waits.
_AT_ONCE: Final = 2
_WAIT_SECONDS: Final = 20.0
_CACHE_BYTES: Final = 64 << 20
_DICOM: Final = "application/dicom"
_NUMBER_MAX: Final = 2**31 - 1

Key = tuple[str, int, str, int]


class Frames:
    """Frames of images, decoded for a browser; the latest are kept."""

    def __init__(self) -> None:
        self._decoding = BoundedSemaphore(_AT_ONCE)
        self._lock = Lock()
        self._kept: OrderedDict[Key, bytes] = OrderedDict()
        self._size = 0

    def levels(self, request: Request) -> Response:
        """Answer with a frame to be windowed by the page's script."""
        path, frame, asked = _wanted(request)

        def make() -> bytes:
            from dicom_node.web.pictures import pack_picture, read_picture

            packed = pack_picture(read_picture(path, frame, asked))
            return gzip.compress(packed, compresslevel=1)

        content = self._get((str(path), frame, repr(asked), 0), make)
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(
                gzip.decompress(content), media_type="application/octet-stream"
            )
        return Response(
            content,
            media_type="application/octet-stream",
            headers={"Content-Encoding": "gzip"},
        )

    def picture(self, request: Request) -> Response:
        """Answer with a frame as a PNG."""
        path, frame, asked = _wanted(request)
        preset = request.query_params.get("preset", "")[:32]
        side = read_number(request.query_params.get("side", ""), most=_SIDE_MAX)
        side = max(side, _SIDE_LEAST) if side else _SIDE_MAX

        def make() -> bytes:
            from dicom_node.web.pictures import draw_picture, read_picture

            found = read_picture(path, frame, asked)
            return draw_picture(found, preset=preset, side=side)

        key = (str(path), frame, f"{preset} {asked}", side)
        return Response(self._get(key, make), media_type="image/png")

    def summary(self, request: Request) -> Response:
        """Answer with the picture of a Secondary Capture of ours."""
        desk, line = _report(request)
        if line.kind is not ReportKind.SC:
            raise Problem(404, "this report is no picture")
        path = desk.report_path(line.file_key)

        def make() -> bytes:
            from dicom_node.web.picture_presets import Asked
            from dicom_node.web.pictures import draw_picture, read_picture

            return draw_picture(read_picture(path, 1, Asked()))

        key = (str(path), 1, "", _SIDE_MAX)
        return Response(self._get(key, make), media_type="image/png")

    def _get(self, key: Key, make: Callable[[], bytes]) -> bytes:
        """Return what is kept, or make it.

        Raises:
            Problem: it cannot be made, or too many others want something.
        """
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        if not self._decoding.acquire(timeout=_WAIT_SECONDS):
            raise Problem(503, "too many images are being decoded: try again")
        try:
            content = make()
        except PixelError as error:
            raise Problem(422, f"the image cannot be shown: {error}") from None
        finally:
            self._decoding.release()
        self._keep(key, content)
        return content

    def _keep(self, key: Key, content: bytes) -> None:
        with self._lock:
            if key not in self._kept and len(content) <= _CACHE_BYTES:
                self._kept[key] = content
                self._size += len(content)
            while self._size > _CACHE_BYTES:
                _, dropped = self._kept.popitem(last=False)
                self._size -= len(dropped)


def _wanted(request: Request) -> tuple[Path, int, "Asked"]:
    """Return the file, the frame and the model's windows that a path asks for.

    Raises:
        Problem: there is no such image.
    """
    page = load_study(request)
    frame = read_number(request.path_params["frame"], most=_FRAME_MAX)
    desk: Desk = request.app.state.desk
    wanted = request.path_params["image"]
    found = [
        line
        for line in images_of(desk.database, page.line.study_id)
        if line.sop_instance_uid == wanted
    ]
    if not found or not frame or page.line.pruned_at is not None:
        raise Problem(404, "there is no such image, or its file is gone")
    models = {job["model"] for job in page.line.jobs}
    return desk.instance_path(found[0].file_key), frame, _asked(desk, models)


def _asked(desk: Desk, models: set[str]) -> "Asked":
    """Return what the first of these models, by name, looks at images with."""
    from dicom_node.web.picture_presets import Asked

    for bundle in desk.list_models():
        if bundle.name in models and bundle.card is not None:
            spec = bundle.card.input
            if spec.windowing == "model":
                return Asked(windows=spec.windows)
            if spec.windowing == "percentile":
                return Asked(percentiles=spec.percentiles)
    return Asked()


def _report(request: Request) -> tuple[Desk, ReportLine]:
    """Return the report of the path.

    Raises:
        Problem: there is none.
    """
    desk: Desk = request.app.state.desk
    number = read_number(request.path_params["report"], most=_NUMBER_MAX)
    found = db.desk_reports.find_report(desk.database, number) if number else None
    if found is None:
        raise Problem(404, "there is no report with this number")
    if not desk.report_path(found.file_key).is_file():
        raise Problem(404, "the report's file is gone: retention has removed it")
    return desk, found


def report_page(request: Request) -> Response:
    """Show a structured report as a tree."""
    from dicom_node.web.sr_view import read_tree

    desk, line = _report(request)
    if line.kind is not ReportKind.SR:
        raise Problem(404, "this is no structured report: open its study")
    fault, tree = "", None
    try:
        tree = read_tree(desk.report_path(line.file_key))
    except ReportError as error:
        fault = words_for(request).say(str(error))
    context = {"line": line, "tree": tree, "fault": fault}
    return render(request, "report.html", context)


def report_file(request: Request) -> Response:
    """Send a report's file; its name says nothing of whose it is."""
    desk, line = _report(request)
    if line.kind not in (ReportKind.SR, ReportKind.SC, ReportKind.KOS):
        raise Problem(404, "this is a message: `dicom-node worklist preview` shows it")
    return FileResponse(
        desk.report_path(line.file_key),
        media_type=_DICOM,
        filename=f"{line.sop_instance_uid}.dcm",
    )
