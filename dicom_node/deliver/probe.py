"""What a PACS accepts of all that this node could send it or ask of it."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    KeyObjectSelectionDocumentStorage,
    SecondaryCaptureImageStorage,
)
from pynetdicom import build_context
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # pynetdicom makes these names at import
    StorageCommitmentPushModel,
    Verification,
)

from config.destinations import DestinationTable
from dicom_node.core.errors import DeliveryError
from dicom_node.core.states import ReportKind
from dicom_node.deliver.association import Link, associate
from dicom_node.deliver.choose import SR_CLASS_UIDS
from dicom_node.deliver.commitment import commitment_context
from dicom_node.deliver.peer import Peer
from dicom_node.deliver.read_back import find_contexts
from dicom_node.deliver.status import SUCCESS

# Explicit first: in it an object leaves as the very bytes on disk.
SYNTAXES: Final = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))
_OBJECT_CLASSES: Final = {
    ReportKind.SC: str(SecondaryCaptureImageStorage),
    ReportKind.KOS: str(KeyObjectSelectionDocumentStorage),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One thing that was proposed.

    Args:
        kind: the setting's word for it: sr, sc, kos, commitment, c-find.
        what: name of the SOP class.
        wanted: whether the configuration asks for it.
        syntaxes: names of the transfer syntaxes accepted; () if it was refused.
        used: whether it is what goes out: the best that is accepted and wanted.
    """

    kind: str
    what: str
    wanted: bool
    syntaxes: tuple[str, ...]
    used: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What a PACS answered.

    Args:
        seconds: from the call to the end of the association.
        faults: what the configuration wants and the PACS refuses, with the remedy.
    """

    seconds: float
    offers: tuple[Offer, ...]
    faults: tuple[str, ...]


def propose(sop_class_uids: Iterable[str]) -> list[PresentationContext]:
    """Offer each class in each syntax apart, so that the sender decides."""
    unique = dict.fromkeys(sop_class_uids)
    return [build_context(uid, syntax) for uid in unique for syntax in SYNTAXES]


def refused_class(peer: Peer, settings: DestinationTable, kind: ReportKind) -> str:
    """Say that the PACS takes no object of this kind, and what to change."""
    if kind is ReportKind.SR:
        return (
            f"{peer} accepts none of the SR classes {', '.join(settings.sr_classes)}: "
            f"enable one there, or change {peer.setting('sr_classes')}"
        )
    return (
        f"{peer} accepts no {UID(_OBJECT_CLASSES[kind]).name}: enable it there, or "
        f"take '{kind}' out of {peer.setting('objects')}"
    )


def probe(peer: Peer, settings: DestinationTable) -> Probe:
    """C-ECHO and propose everything in one association.

    Raises:
        DeliveryError: no association, or the C-ECHO is not answered with success.
    """
    started = time.monotonic()
    classes = [*SR_CLASS_UIDS.values(), *_OBJECT_CLASSES.values()]
    contexts = [
        build_context(Verification),
        *propose(classes),
        commitment_context(),
        *find_contexts(),
    ]
    with associate(peer, contexts) as link:
        _echo(peer, link)
        accepted = link.accepted
    offers = tuple(_offers(settings, accepted))
    return Probe(
        seconds=time.monotonic() - started,
        offers=offers,
        faults=tuple(_faults(peer, settings, offers)),
    )


def _echo(peer: Peer, link: Link) -> None:
    if not any(sop_class == Verification for sop_class, _ in link.accepted):
        return
    status = link.echo()
    if status != SUCCESS:
        raise DeliveryError(
            f"{peer} answers a C-ECHO with status 0x{status:04X}: see its log",
            retryable=True,
            status=status,
        )


def _offers(
    settings: DestinationTable, accepted: frozenset[tuple[str, str]]
) -> Iterable[Offer]:
    syntaxes: dict[str, list[str]] = {}
    for syntax in SYNTAXES:
        for sop_class, chosen in accepted:
            if chosen == syntax:
                syntaxes.setdefault(sop_class, []).append(UID(syntax).name)

    def offer(kind: str, sop_class: str, *, wanted: bool, used: bool = True) -> Offer:
        found = tuple(syntaxes.get(sop_class, ()))
        return Offer(
            kind=kind,
            what=UID(sop_class).name,
            wanted=wanted,
            syntaxes=found,
            used=bool(wanted and used and found),
        )

    wants_sr, best_is_found = "sr" in settings.objects, False
    for name in dict.fromkeys((*settings.sr_classes, *SR_CLASS_UIDS)):
        wanted = wants_sr and name in settings.sr_classes
        one = offer("sr", SR_CLASS_UIDS[name], wanted=wanted, used=not best_is_found)
        best_is_found = best_is_found or one.used
        yield one
    for kind, sop_class in _OBJECT_CLASSES.items():
        yield offer(kind.value, sop_class, wanted=kind.value in settings.objects)
    yield offer(
        "commitment",
        str(StorageCommitmentPushModel),
        wanted=settings.commitment != "off",
    )
    found_model = False
    for context in find_contexts():
        one = offer(
            "c-find",
            str(context.abstract_syntax),
            wanted=settings.read_back == "c-find",
            used=not found_model,
        )
        found_model = found_model or one.used
        yield one


def _faults(
    peer: Peer, settings: DestinationTable, offers: Iterable[Offer]
) -> Iterable[str]:
    there = {offer.kind for offer in offers if offer.wanted and offer.syntaxes}
    for name in settings.objects:
        if name not in there:
            yield refused_class(peer, settings, ReportKind(name))
    if settings.commitment != "off" and "commitment" not in there:
        yield (
            f"{peer} offers no Storage Commitment: enable it there, or change "
            f"{peer.setting('commitment')}"
        )
    if settings.read_back == "c-find" and "c-find" not in there:
        yield (
            f"{peer} answers no C-FIND: enable it there, or change "
            f"{peer.setting('read_back')}"
        )
