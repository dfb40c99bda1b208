"""Which presentation contexts are accepted, and how a refused one is told."""

from collections.abc import Iterable
from typing import Any, Final

from pydicom._uid_dict import UID_dictionary
from pynetdicom import AllStoragePresentationContexts
from pynetdicom.presentation import PresentationContext, build_context

from dicom_node.core.types import RefusedContext
from dicom_node.receive.scan import is_uid

VERIFICATION: Final = "1.2.840.10008.1.1"
IMPLICIT_LITTLE: Final = "1.2.840.10008.1.2"
EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
STORAGE_COMMITMENT: Final = "1.2.840.10008.1.20.1"

_PLAIN_SYNTAXES: Final = (EXPLICIT_LITTLE, IMPLICIT_LITTLE)
_DICOM_ROOT: Final = "1.2.840.10008."
_STORAGE_ROOT: Final = "1.2.840.10008.5.1.4."
# The dictionary knows retired classes and DICOS, which pynetdicom leaves out.
_STORAGE_CLASSES: Final = frozenset(
    str(context.abstract_syntax) for context in AllStoragePresentationContexts
) | {
    uid
    for uid, entry in UID_dictionary.items()
    if entry[1] == "SOP Class"
    and " Storage" in entry[0]
    and uid.startswith(_STORAGE_ROOT)
}
_REASONS: Final = {
    1: "user rejection",
    2: "no reason",
    3: "abstract syntax not supported",
    4: "transfer syntaxes not supported",
}
_MAX_UID: Final = 64


def is_storage_class(abstract_syntax: str) -> bool:
    """Say whether C-STORE makes sense: every storage class and private classes."""
    if abstract_syntax in _STORAGE_CLASSES:
        return True
    return is_uid(abstract_syntax) and not abstract_syntax.startswith(_DICOM_ROOT)


def supported_contexts(
    offered: Iterable[PresentationContext],
    transfer_syntaxes: frozenset[str],
    *,
    only: frozenset[str] | None = None,
    commitment: bool = False,
) -> list[PresentationContext]:
    """Return what this node accepts of an offer, best transfer syntax first.

    The requestor's order is kept, because what it names first needs no transcoding;
    only Implicit VR gives way to Explicit VR, as it loses the VR of private elements.
    The lists are this association's own: nothing of 170 contexts is ever copied.

    Args:
        only: the storage classes to accept; every one if None.
        commitment: the requestor is SCP of Storage Commitment, and is listened to.
    """
    wanted: dict[str, list[str]] = {}
    for context in offered:
        abstract_syntax = str(context.abstract_syntax)
        if abstract_syntax == VERIFICATION:
            accepted = [IMPLICIT_LITTLE, EXPLICIT_LITTLE]
        elif abstract_syntax == STORAGE_COMMITMENT and commitment:
            offers = (str(item) for item in context.transfer_syntax)
            accepted = [item for item in offers if item in _PLAIN_SYNTAXES]
        elif is_storage_class(abstract_syntax) and (
            only is None or abstract_syntax in only
        ):
            accepted = [
                str(item)
                for item in context.transfer_syntax
                if str(item) in transfer_syntaxes
            ]
        else:
            continue
        wanted.setdefault(abstract_syntax, []).extend(accepted)
    return [
        # With none of its syntaxes ours, the answer is 4 and not 3: we know the class.
        build_context(abstract_syntax, _ordered(syntaxes) or [IMPLICIT_LITTLE])
        for abstract_syntax, syntaxes in wanted.items()
    ]


def _ordered(syntaxes: list[str]) -> list[str]:
    unique = list(dict.fromkeys(syntaxes))
    if EXPLICIT_LITTLE in unique and IMPLICIT_LITTLE in unique:
        unique.remove(IMPLICIT_LITTLE)
        unique.append(IMPLICIT_LITTLE)
    return unique


def refused_contexts(
    offered: Iterable[PresentationContext], results: dict[int | None, int | None]
) -> tuple[RefusedContext, ...]:
    """Tell the contexts that were not accepted, with all that was offered in them.

    Args:
        results: result of each context id (PS3.8 9.3.3.2); an id that is not there
            was never negotiated, because the association was rejected.
    """
    return tuple(
        RefusedContext(
            sop_class_uid=_bounded(context.abstract_syntax),
            transfer_syntax_uids=tuple(
                _bounded(item) for item in context.transfer_syntax
            ),
            reason=_reason(context.context_id, results),
        )
        for context in offered
        if results.get(context.context_id) != 0
    )


def _reason(context_id: int | None, results: dict[int | None, int | None]) -> str:
    if context_id not in results:
        return "association rejected"
    return _REASONS.get(results[context_id] or 2, "no reason")


def _bounded(text: Any) -> str:
    """Keep a UID a UID: the peer chose this text, and it goes into a log."""
    kept = "".join(c for c in str(text or "") if c.isdigit() or c == ".")
    return kept[:_MAX_UID]
