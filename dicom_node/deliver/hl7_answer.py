"""What an HL7 v2 acknowledgement says of the message, and of trying again."""

from dataclasses import dataclass
from typing import Final

from dicom_node.core.hl7 import ACKNOWLEDGEMENTS, Message, read_message

# HL7 table 0008: whether it was accepted, and if not whether to try again.
_CODES: Final = {
    "AA": (True, False, "accepted the message"),
    "CA": (True, False, "accepted the message"),
    "AE": (False, True, "answered AE, an error on its side"),
    "CE": (False, True, "answered CE, an error on its side"),
    "AR": (False, False, "rejected the message (AR)"),
    "CR": (False, False, "rejected the message (CR)"),
}
# HL7 table 0357. The receiver's own text may quote the patient: it is not kept.
_ERRORS: Final = {
    "100": "segment sequence error",
    "101": "required field missing",
    "102": "data type error",
    "103": "table value not found",
    "200": "unsupported message type",
    "201": "unsupported event code",
    "202": "unsupported processing id",
    "203": "unsupported version id",
    "204": "unknown key identifier",
    "205": "duplicate key identifier",
    "206": "application record locked",
    "207": "application internal error",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An acknowledgement.

    Args:
        code: MSA-1, one of HL7 table 0008.
        control_id: MSA-2, whose message it is for.
        error: of HL7 table 0357, "" if the receiver names none.
    """

    code: str
    control_id: str
    error: str = ""

    @property
    def accepted(self) -> bool:
        """Whether the receiver has taken the message."""
        return _CODES[self.code][0]

    @property
    def retryable(self) -> bool:
        """Whether the same message may be taken later."""
        return _CODES[self.code][1]

    @property
    def status(self) -> int:
        """The code as a delivery keeps it."""
        return ACKNOWLEDGEMENTS.index(self.code)

    def explain(self) -> str:
        """Say it, as the end of a sentence that begins with the destination."""
        text = _CODES[self.code][2]
        named = f": {self.error} {_ERRORS[self.error]}" if self.error else ""
        advice = "" if self.retryable else ", then run `dicom-node retry`"
        return f"{text}{named}; see its log{advice}"


def read_answer(frame: bytes) -> Answer | None:
    """Read an acknowledgement; None if it is none.

    Source: HL7 v2.5.1 2.14.5 (ERR), 2.14.8 (MSA).
    """
    message = read_message(frame)
    if message is None:
        return None
    code = message.value("MSA", 1).strip()
    control_id = message.value("MSA", 2).strip()
    if code not in _CODES or not control_id:
        return None
    return Answer(code=code, control_id=control_id, error=_error(message))


def _error(message: Message) -> str:
    """Find the error's code: ERR-3, before v2.5 in ERR-1, and earlier in MSA-6."""
    places = (
        message.value("ERR", 3),
        message.value("ERR", 1, 4).partition("&")[0],
        message.value("MSA", 6),
    )
    return next((code for code in places if code in _ERRORS), "")
