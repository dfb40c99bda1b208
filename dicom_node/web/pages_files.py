"""What a page loads: frames, summary pictures, reports."""

import gzip
from collections import OrderedDict
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final

from starlette.requests import Request
from starlette.responses import FileResponse, Response

import db.desk_reports
from db.desk_images import images_of
from db.desk_reports import ReportLine
from dicom_node.core.errors import PixelError, ReportError
from dicom_node.core.states import ReportKind
from dicom_node.web.desk import Desk
from dicom_node.web.drawers import Busy, Drawers, Drawing
from dicom_node.web.pages_study import load_study, read_number
from dicom_node.web.problems import Problem
from dicom_node.web.surroundings import words_for
from dicom_node.web.templates import render
from dicom_node.web.tiles import tile, wants_tile

if TYPE_CHECKING:
    from dicom_node.web.picture_presets import Asked

_FRAME_MAX: Final = 1_000_000
_SIDE_MAX: Final = 1536
_SIDE_LEAST: Final = 32
_CACHE_BYTES: Final = 64 << 20
_DICOM: Final = "application/dicom"
_NUMBER_MAX: Final = 2**31 - 1


class Frames:
    """Frames of images, decoded for a browser; the latest are kept."""

    def __init__(self, drawers: Drawers | None = None) -> None:
        self._drawers = drawers or Drawers()
        self._lock = Lock()
        self._kept: OrderedDict[Drawing, bytes] = OrderedDict()
        self._size = 0

    def levels(self, request: Request) -> Response:
        """Answer with a frame to be windowed by the page's script."""
        path, frame, asked = _wanted(request)
        content = self._get(Drawing(path=path, frame=frame, asked=asked, packed=True))
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
        """Answer with a frame as a PNG, or with a tile that says why there is none."""
        path, frame, asked = _wanted(request)
        side = read_number(request.query_params.get("side", ""), most=_SIDE_MAX)
        wanted = Drawing(
            path=path,
            frame=frame,
            asked=asked,
            preset=request.query_params.get("preset", "")[:32],
            side=max(side, _SIDE_LEAST) if side else _SIDE_MAX,
        )
        return self._png(request, wanted)

    def summary(self, request: Request) -> Response:
        """Answer with the picture of a Secondary Capture of ours."""
        from dicom_node.web.picture_presets import Asked  # loads numpy

        desk, line = _report(request)
        if line.kind is not ReportKind.SC:
            raise Problem(404, "this report is no picture")
        path = desk.report_path(line.file_key)
        wanted = Drawing(path=path, frame=1, asked=Asked(), side=_SIDE_MAX)
        return self._png(request, wanted)

    def _png(self, request: Request, wanted: Drawing) -> Response:
        try:
            return Response(self._get(wanted), media_type="image/png")
        except Problem as problem:
            if not wants_tile(request):
                raise
            return tile(request, problem)

    def _get(self, wanted: Drawing) -> bytes:
        """Return what is kept, or make it.

        Raises:
            Problem: it cannot be made, or too many others want something.
        """
        with self._lock:
            if wanted in self._kept:
                self._kept.move_to_end(wanted)
                return self._kept[wanted]
        try:
            content = self._drawers.draw(wanted)
        except PixelError as error:
            raise Problem(422, f"the image cannot be shown: {error}") from None
        except Busy as error:
            raise Problem(503, str(error)) from None
        self._keep(wanted, content)
        return content

    def _keep(self, key: Drawing, content: bytes) -> None:
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
    if not found or not frame or page.line.files_gone:
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
