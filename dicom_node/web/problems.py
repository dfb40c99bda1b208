"""What goes wrong with a request, as JSON for programs and as a page for people."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from dicom_node.core.errors import NodeError
from dicom_node.web.fhir_answers import fhir_answer, outcome
from dicom_node.web.templates import render

API = "/api/"
FHIR = "/fhir/"


class Problem(NodeError):
    """A request that is not answered as asked; the text says what to do instead.

    Args:
        status: HTTP status.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def is_api(request: Request) -> bool:
    """Say whether a program asks, which wants JSON."""
    return request.url.path.startswith((API, FHIR))


def tell(
    request: Request, problem: Problem, headers: dict[str, str] | None = None
) -> Response:
    """Answer with the problem."""
    if request.url.path.startswith(FHIR):
        return fhir_answer(
            outcome(problem.status, str(problem)), problem.status, headers
        )
    if is_api(request):
        return JSONResponse(
            {"error": str(problem)}, status_code=problem.status, headers=headers
        )
    context = {"status": problem.status, "text": str(problem)}
    return render(
        request, "problem.html", context, status=problem.status, headers=headers
    )
