"""Every fixed reason that reaches a page is told in Korean too."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import dicom_node
from dicom_node.core.refusal import REMEDIES
from dicom_node.deliver import http_status, refusal, status, tls
from dicom_node.receive import admission, congestion, contexts, lobby, visitor
from dicom_node.web.words import catalogue

ROOT = Path(dicom_node.__file__).parent
PEER = "destination 'pacs' (PACS at pacs.example:104)"
# Errors whose text a page shows: of a refused image, a delivery, an association.
RAISED = {
    *("CannotUnderstand", "Malformed", "DoesNotMatch", "OutOfResources"),
    *("DiskFailed", "_NotOfThisContext", "DeliveryError", "Quarantined", "Setback"),
}
WALKED = ("receive", "deliver", "part10", "delivering.py", "proving.py", "pipeline.py")
# What only a log or a command line shows: a file that is no image of ours, an address
# that answers to `check`.
NOT_SHOWN = {"foreign.py", "probe.py", "events.py"}
FIELDS = {
    **dict.fromkeys(("address", "called", "ca", "certificate", "tls"), "port of it"),
    **{"calling": "AINODE", "seconds": "5", "url": "url", "credentials": "token_file"},
}


def _korean(text: str) -> str:
    return catalogue("ko").say(text)


def _files() -> Iterator[Path]:
    for name in WALKED:
        path = ROOT / name
        found = sorted(path.glob("*.py")) if path.is_dir() else [path]
        yield from (one for one in found if one.name not in NOT_SHOWN)


def _text(node: ast.expr, about: str) -> str | None:
    """Return a literal's text; what is put in first is what it is about."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        values = [
            part.value if isinstance(part, ast.Constant) else "7"
            for part in node.values
        ]
        return "".join(
            map(str, [about if values[0] == "7" else values[0], *values[1:]])
        )
    return None


def _raised() -> Iterator[tuple[str, str]]:
    for path in _files():
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", "")
            reasons = [one.value for one in node.keywords if one.arg == "reason"]
            for argument in [*node.args[:1], *reasons] if name in RAISED else []:
                about = "SOP Class UID" if path.parent.name == "receive" else PEER
                text = _text(argument, about)
                if text is not None and text.strip("7 ") and text.count("7") < 12:
                    yield path.name, text


def test_every_reason_of_a_refusal_or_a_delivery_is_told_in_korean() -> None:
    told = sorted(set(_raised()))
    assert len(told) > 80
    # Of these the pieces come from the tables below.
    pieces = {
        f"{PEER}{end}"
        for end in (
            *("7", " 7", " 77", " 7 (HTTP 7)", " 7, HTTP 7"),
            " cannot be reached 7; check host and port, the network and the firewall",
            " 7 within 7 s: see its log, or raise ack_seconds of destination '7'",
        )
    }
    missing = [
        (where, text)
        for where, text in told
        if text not in pieces and not _is_korean(text)
    ]
    assert missing == []


def _is_korean(text: str) -> bool:
    said = _korean(text).replace("전송 대상 'pacs'", "")
    return any("가" <= letter <= "힣" for letter in said)


@pytest.mark.parametrize(
    "rejection",
    [one for one in vars(admission).values() if isinstance(one, admission.Rejection)],
)
def test_every_rejection_is_told_in_korean(rejection: admission.Rejection) -> None:
    assert _is_korean(rejection.reason)
    assert _is_korean(f"{rejection.reason}, 3 times")


def test_every_reason_of_a_context_and_of_a_connection_is_told_in_korean() -> None:
    shown = [
        *contexts._REASONS.values(),
        *visitor._CERTIFICATE_REASONS.values(),
        *visitor._TLS_REASONS.values(),
        *(visitor.NOT_A_REQUEST, visitor.PLAIN_ON_TLS, visitor.TLS_ON_PLAIN),
        *(visitor.TOO_LONG, visitor.NOT_WHOLE, visitor.SLOW_HANDSHAKE),
        *(visitor.HANDSHAKE_FAILED, lobby.TOO_MANY_WAIT, lobby.TOO_MUCH_HELD),
        *(congestion.LOW_DISK, congestion.NO_DATABASE),
    ]
    assert [text for text in shown if not _is_korean(text)] == []


def test_every_answer_of_a_destination_is_told_in_korean() -> None:
    codes = [*status._EXACT, 0xA700, 0xA900, 0xC123, 0x0999]
    said = [f"{PEER} {status.read_status(code).text}" for code in codes]
    said += [
        f"{PEER} {text} (HTTP {code})" for code, (_, text) in http_status._EXACT.items()
    ]
    said += [f"{PEER} refuses the association {text}" for text, _ in
             refusal._REJECTED.values()]  # fmt: skip
    said += [
        f"{PEER} {refusal.explain_refusal(attempt)[0]}"
        for attempt in (
            refusal.Attempt(connected=False, timed_out=True),
            refusal.Attempt(connected=False, timed_out=False),
            refusal.Attempt(connected=True, timed_out=True),
            refusal.Attempt(connected=True, timed_out=False),
            refusal.Attempt(connected=True, timed_out=False, tls=True),
        )
    ]
    said += [
        f"{PEER} {tls.explain_fault(fault)}" for fault in (TimeoutError(), OSError())
    ]
    waited = ("answered for another message, or with no HL7 acknowledgement,",
              "did not finish an acknowledgement in an MLLP frame",
              "did not acknowledge the message")  # fmt: skip
    raised = "see its log, or raise ack_seconds of destination 'pacs'"
    said += [f"{PEER} {text} within 5 s: {raised}" for text in waited]
    said.append(
        f"{PEER} cannot be reached at present: nothing listens there; check host and "
        "port, the network and the firewall"
    )
    filled = [text.format(**FIELDS) for text in said]
    assert [text for text in filled if not _is_korean(text)] == []


def test_sentences_within_a_sentence_are_told_too() -> None:
    two = "2 images: Rows is missing. 1 image: The file cannot be read"
    assert _korean(two) == "영상 2장: Rows 없음. 영상 1장: 파일을 읽을 수 없음"
    unmatched = (
        f"{PEER} cannot be reached within 5 s; check host and port, the network and "
        "the firewall"
    )
    assert _korean(unmatched) == (
        "전송 대상 'pacs' (PACS at pacs.example:104): 5초 안에 연결되지 않음. "
        "host와 port, 네트워크, 방화벽을 확인하십시오"
    )
    assert _korean("released (no known sentence)") == "released (no known sentence)"


@pytest.mark.parametrize(
    "reason",
    [
        "the model gave a score that is not a number: nothing of this study is "
        "reported; check weights, precision and normalisation",
        "Explicit VR Little Endian: decoding ended the process (SIGSEGV)",
        "decoding did not end within 60 s",
        "JPEG 2000: decoding needs more memory than max_frame_bytes allows",
        "the lease lapsed",
    ],
)
def test_every_end_of_a_decoder_and_of_a_model_is_told_in_korean(reason: str) -> None:
    told = _korean(f"the model 'cxr' failed: {reason}")
    assert told.startswith("모델 'cxr' 실패: ")
    for part in ("decoding", "score", "check", "lease"):
        assert part not in told


@pytest.mark.parametrize("remedy", sorted(REMEDIES))
def test_what_helps_a_refused_image_is_told_in_korean(remedy: str) -> None:
    assert _is_korean(remedy)
    assert "다" in _korean(remedy) or "오" in _korean(remedy)
    assert "image" not in _korean(remedy)


@pytest.mark.parametrize(
    ("said", "korean"),
    [
        (
            "Patient's Age is 45 years; the model covers 1 to 5 years",
            "환자 나이(Patient's Age) 값은 45세; 모델 대상은 1~5세",
        ),
        (
            "Modality is MR; the route asks for CR, DX or MG",
            "Modality 값은 MR; 경로 조건은 CR, DX 또는 MG",
        ),
        (
            "StudyDescription, SeriesDescription matches none of *chest ct* or "
            "*thorax*",
            "검사·시리즈 설명(Study/Series Description) 값이 *chest ct* 또는 "
            "*thorax*와 맞지 않음",
        ),
        (
            "PatientAge is 3, 4.5 years; the route asks for at least 18 years",
            "환자 나이(Patient's Age) 값은 3, 4.5세; 경로 조건은 18세 이상",
        ),
        ("Pneumothorax 0.93 at or above 0.90", "기흉 0.93, 기준 0.90 이상"),
        ("file window LINEAR 1/2", "파일의 윈도우 1/2(LINEAR)"),
        (
            "percentile 1-99 (file has no window)",
            "백분위수 1~99(파일에 윈도우 없음)",
        ),
        ("file LUT, decoded at 1/4", "파일의 VOI LUT, 1/4 크기로 디코딩"),
        ("1 jobs, 0 deliveries", "작업 1건, 전송 0건"),
        ("name seen", "환자 이름 열람"),
    ],
)
def test_attributes_and_windowing_are_told_in_korean(said: str, korean: str) -> None:
    assert _korean(said) == korean


def test_what_to_check_of_a_destination_is_told_in_korean() -> None:
    told = _korean(
        f"{PEER} cannot be reached: nothing listens there; start it or check host and "
        "port of destination 'pacs'"
    )
    assert told.endswith("전송 대상 'pacs'의 host와 port을(를) 확인하십시오")
