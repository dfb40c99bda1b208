"""Association negotiation: pynetdicom reads and writes the PDUs, this decides.

Source: PS3.8 9.3.2 to 9.3.4, PS3.7 D.3.3.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
    SOPClassExtendedNegotiation,
)
from pynetdicom.presentation import PresentationContext, negotiate_as_acceptor

from dicom_node.core.errors import CannotUnderstand
from dicom_node.part10.head import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
)
from dicom_node.receive.admission import Rejection
from dicom_node.receive.command import PDV_OVERHEAD
from dicom_node.receive.contexts import (
    IMPLICIT_LITTLE,
    STORAGE_COMMITMENT,
    is_storage_class,
)
from dicom_node.receive.journal import bounded_ae_title
from dicom_node.receive.request import CALLED, CALLING, ECHOED, read_request
from dicom_node.receive.scan import is_uid

APPLICATION_CONTEXT: Final = "1.2.840.10008.3.1.1.1"
_PROTOCOL_VERSION_1: Final = 0x0001

# PS3.8 9.3.4: a version that this node does not speak, a context that is not DICOM's.
VERSION_UNKNOWN: Final = Rejection(1, 2, 2, "protocol version not supported")
APPLICATION_UNKNOWN: Final = Rejection(1, 1, 2, "application context not supported")

# Level 2 (full) storage, no element coercion (PS3.4 B.3.1).
_STORAGE_INFORMATION: Final = b"\x02\x00\x00\x00\x00\x00"

RELEASE_RP: Final = b"\x06\x00\x00\x00\x00\x04\x00\x00\x00\x00"


def abort(source: int, reason: int = 0) -> bytes:
    """Encode an A-ABORT; source 0 is the service user, 2 the provider (PS3.8 9.3.8)."""
    return bytes((7, 0, 0, 0, 0, 4, 0, 0, source, reason))


ABORT_BY_NODE: Final = abort(0)
UNRECOGNISED_PDU: Final = abort(2, 1)
UNEXPECTED_PDU: Final = abort(2, 2)
INVALID_PDU_PARAMETER: Final = abort(2, 6)


@dataclass(frozen=True, slots=True)
class Context:
    """An accepted presentation context."""

    abstract_syntax: str
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What an A-ASSOCIATE-RQ asks for.

    Args:
        titles_fault: why its AE titles are nobody's.
        max_pdu_bytes: what the requestor takes in a P-DATA-TF PDU, 0 is unlimited.
        echoed: bytes that an A-ASSOCIATE-AC has to send back.
    """

    primitive: Any
    titles_fault: Rejection | None
    echoed: bytes
    protocol_version: int
    calling_ae_title: str
    called_ae_title: str
    max_pdu_bytes: int
    contexts: tuple[PresentationContext, ...]
    user_information: tuple[Any, ...]

    @property
    def reports_commitment(self) -> bool:
        """Whether the requestor wants to be SCP of Storage Commitment.

        Source: PS3.4 J.3.3, PS3.7 D.3.3.4.
        """
        return any(
            isinstance(item, SCP_SCU_RoleSelectionNegotiation)
            and str(item.sop_class_uid) == STORAGE_COMMITMENT
            and bool(item.scp_role)
            for item in self.user_information
        )

    @property
    def fault(self) -> Rejection | None:
        """Why no acceptor of this standard can take it."""
        if not self.protocol_version & _PROTOCOL_VERSION_1:
            return VERSION_UNKNOWN
        if str(self.primitive.application_context_name) != APPLICATION_CONTEXT:
            return APPLICATION_UNKNOWN
        return self.titles_fault


def read_offer(encoded: bytes) -> Offer:
    """Decode an A-ASSOCIATE-RQ PDU.

    Raises:
        CannotUnderstand: it is malformed.
    """
    request = read_request(encoded)
    try:
        pdu = A_ASSOCIATE_RQ()
        pdu.decode(request.encoded)
        primitive = pdu.to_primitive()
        information = tuple(primitive.user_information)
        return Offer(
            primitive=primitive,
            titles_fault=request.fault,
            echoed=encoded[ECHOED],
            protocol_version=int(pdu.protocol_version),
            called_ae_title=bounded_ae_title(encoded[CALLED]),
            calling_ae_title=bounded_ae_title(encoded[CALLING]),
            max_pdu_bytes=_max_pdu_bytes(information),
            contexts=_checked(primitive.presentation_context_definition_list),
            user_information=information,
        )
    except CannotUnderstand:
        raise
    except Exception:  # noqa: BLE001 - pynetdicom's decoders raise anything
        raise CannotUnderstand("the association request is malformed") from None


def _checked(
    contexts: Iterable[PresentationContext],
) -> tuple[PresentationContext, ...]:
    found = tuple(contexts)
    for context in found:
        if not (
            context.context_id and context.abstract_syntax and context.transfer_syntax
        ):
            raise CannotUnderstand("a presentation context is incomplete")
    if len({context.context_id for context in found}) != len(found):
        raise CannotUnderstand("a presentation context id is there twice")
    return found


def _max_pdu_bytes(information: Iterable[Any]) -> int:
    for item in information:
        if isinstance(item, MaximumLengthNotification):
            length = int(item.maximum_length_received or 0)
            if 0 < length <= PDV_OVERHEAD:
                raise CannotUnderstand("the maximum PDU length holds no fragment")
            return length
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """The answer to an offer.

    Args:
        encoded: the A-ASSOCIATE-AC PDU.
        accepted: by presentation context id.
        results: result of every context id (PS3.8 9.3.3.2).
    """

    encoded: bytes
    accepted: dict[int, Context]
    results: dict[int | None, int | None]


def accept(
    offer: Offer,
    supported: list[PresentationContext],
    *,
    max_pdu_bytes: int,
    further: Iterable[Any] = (),
) -> Acceptance:
    """Negotiate the contexts and encode the A-ASSOCIATE-AC.

    An asynchronous operations window is not answered, nor a role selection but that of
    Storage Commitment, which leaves the default: the requestor is the SCU, one
    operation at a time (PS3.7 D.3.3.3, D.3.3.4).

    Args:
        further: more user information items.
    """
    results = _negotiate(offer, supported)
    answer = A_ASSOCIATE()
    answer.application_context_name = APPLICATION_CONTEXT
    answer.calling_ae_title = offer.primitive.calling_ae_title
    answer.called_ae_title = offer.primitive.called_ae_title
    answer.result, answer.result_source = 0, 1
    answer.presentation_context_definition_results_list = sorted(
        results, key=lambda context: context.result != 0
    )
    answer.user_information = [
        *_identify(max_pdu_bytes),
        *_answer_extended(offer.user_information),
        *_answer_roles(results),
        *further,
    ]
    encoded = bytearray(A_ASSOCIATE_AC(answer).encode())
    encoded[ECHOED] = offer.echoed
    return Acceptance(
        encoded=bytes(encoded),
        accepted=_accepted(results),
        results={context.context_id: context.result for context in results},
    )


def _negotiate(
    offer: Offer, supported: list[PresentationContext]
) -> list[PresentationContext]:
    """Decide on each context; what is sent back holds no name that is no UID."""
    results, _ = negotiate_as_acceptor(list(offer.contexts), supported, None)
    for context in results:
        if not is_uid(str(context.transfer_syntax[0])):
            context.transfer_syntax = [IMPLICIT_LITTLE]  # not significant if refused
    return results


def _accepted(results: Iterable[PresentationContext]) -> dict[int, Context]:
    return {
        int(context.context_id or 0): Context(
            str(context.abstract_syntax), str(context.transfer_syntax[0])
        )
        for context in results
        if context.result == 0
    }


def reject(rejection: Rejection) -> bytes:
    """Encode an A-ASSOCIATE-RJ."""
    answer = A_ASSOCIATE()
    answer.result = rejection.result
    answer.result_source = rejection.source
    answer.diagnostic = rejection.diagnostic
    return bytes(A_ASSOCIATE_RJ(answer).encode())


def _identify(max_pdu_bytes: int) -> tuple[Any, ...]:
    length = MaximumLengthNotification()
    length.maximum_length_received = max_pdu_bytes
    class_uid = ImplementationClassUIDNotification()
    class_uid.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    version = ImplementationVersionNameNotification()
    version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    return length, class_uid, version


def _answer_roles(results: Iterable[PresentationContext]) -> Iterable[Any]:
    """Let the requestor be SCP of Storage Commitment, and that alone."""
    for context in results:
        if context.result == 0 and str(context.abstract_syntax) == STORAGE_COMMITMENT:
            item = SCP_SCU_RoleSelectionNegotiation()
            item.sop_class_uid = STORAGE_COMMITMENT
            item.scu_role, item.scp_role = False, True
            yield item
            return  # one item for all contexts of the class


def _answer_extended(information: Iterable[Any]) -> Iterable[Any]:
    """Answer the extended negotiation of storage classes, where it is asked for."""
    for asked in information:
        if isinstance(asked, SOPClassExtendedNegotiation) and is_storage_class(
            str(asked.sop_class_uid)
        ):
            item = SOPClassExtendedNegotiation()
            item.sop_class_uid = asked.sop_class_uid
            item.service_class_application_information = _STORAGE_INFORMATION
            yield item
