"""`check`: everything wrong with the node's surroundings, in one message."""

import argparse
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from config.destinations import DestinationTable
from config.settings import Settings
from dicom_node import app
from dicom_node.commands.check_callers import looks_at_callers
from dicom_node.commands.check_page import looks_at_page
from dicom_node.commands.check_worklist import looks_at_worklist
from dicom_node.commands.screen import loaded, print_json
from dicom_node.core.errors import NodeError
from dicom_node.deliver.probe import Offer
from dicom_node.deliver.store_scu import DicomDestination
from dicom_node.workers import bind_worker, count_workers
from inference.pixels.codecs import decodable_transfer_syntaxes

_MIB = 1 << 20
# What a destination's check has shown; none of them leaves anything there.
_ANSWERS = {
    "stow": "answers to DICOMweb",
    "folder": "can be written",
    "hl7": "takes connections; no message was sent",
    "fhir": "answers with its CapabilityStatement",
    "webhook": "takes connections; no event was posted",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Args:
        offers: what a PACS was asked for, and what it accepts.
    """

    what: str
    good: bool
    detail: str
    offers: tuple[Offer, ...] = ()


def check(options: argparse.Namespace) -> int:
    """Look at everything configured, and at what is around the node."""
    settings = loaded(options).settings
    found = list(_findings(settings))
    wrong = [item for item in found if not item.good]
    if options.json:
        print_json({"good": not wrong, "checks": [asdict(item) for item in found]})
    else:
        for item in found:
            print(f"{'ok   ' if item.good else 'WRONG'} {item.what}: {item.detail}")
            for line in _table(item.offers):
                print(f"      {line}")
        print(f"{len(wrong)} of {len(found)} checks failed" if wrong else "all is well")
    return 1 if wrong else 0


def _findings(settings: Settings) -> Iterator[Finding]:
    for what, callers in looks_at_callers(settings):
        yield _look(what, callers, settings)
    yield _look("disk", _disk, settings)
    yield _look("database", _database, settings)
    yield _look("codecs", _codecs, settings)
    yield _look("device", _device, settings)
    for model in dict.fromkeys(route.model for route in settings.routes):
        yield _look(f"model '{model}'", partial(_model, model=model), settings)
    if not settings.routes:
        yield Finding(
            what="routes", good=False, detail="no [[routes]] table: no study gets AI"
        )
    for what, look in (*looks_at_page(settings), *looks_at_worklist(settings)):
        yield _look(what, look, settings)
    for table in settings.destinations:
        yield _destination(settings, table)


def _destination(settings: Settings, table: DestinationTable) -> Finding:
    """Call a destination; ask a PACS for everything at once."""
    what = f"destination '{table.name}'"
    try:
        destination = app.build_destination(table, settings)
        if not isinstance(destination, DicomDestination):
            destination.check()
            return Finding(what=what, good=True, detail=_ANSWERS[table.kind])
        probe = destination.probe()
    except NodeError as error:
        return Finding(what=what, good=False, detail=str(error))
    detail = "; ".join(probe.faults) or f"answers in {probe.seconds * 1000:.0f} ms"
    return Finding(what=what, good=not probe.faults, detail=detail, offers=probe.offers)


def _table(offers: Sequence[Offer]) -> Iterator[str]:
    """Lay out what is accepted: used, only possible, wanted in vain, or refused."""
    width = max((len(offer.what) for offer in offers), default=0)
    for offer in offers:
        said = ", ".join(offer.syntaxes) if offer.syntaxes else "refused"
        mark = "used" if offer.used else "MISSING" if _is_missing(offer, offers) else ""
        yield f"{offer.kind:<10} {offer.what:<{width}}  {mark:<7}  {said}"


def _is_missing(offer: Offer, offers: Sequence[Offer]) -> bool:
    """Tell whether nothing of a kind that is wanted is there."""
    same = [one for one in offers if one.kind == offer.kind]
    return offer.wanted and not any(one.used for one in same)


def _look(what: str, look: Callable[[Settings], str], settings: Settings) -> Finding:
    try:
        return Finding(what=what, good=True, detail=look(settings))
    except NodeError as error:
        return Finding(what=what, good=False, detail=str(error))
    except OSError as error:  # most often of a folder that another user owns
        detail = (
            f"{error.filename or what} cannot be looked at ({error.strerror}): correct "
            "the path, or check as the user that the node runs as"
        )
        return Finding(what=what, good=False, detail=detail)


def _disk(settings: Settings) -> str:
    folder = settings.node.data_dir
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise NodeError(
            f"{folder} is no folder that this user may write: set node.data_dir to one"
        )
    free, limit = shutil.disk_usage(folder).free, settings.receive.min_free_bytes
    if free < limit:
        raise NodeError(
            f"{free // _MIB} MiB free, the limit is {limit // _MIB} MiB: free some "
            "space or lower receive.min_free_bytes; until then instances get 0xA700"
        )
    return f"{free // _MIB} MiB free in {settings.node.data_dir}"


def _database(settings: Settings) -> str:
    path = settings.database.url.removeprefix("sqlite:///")
    if path != settings.database.url and not Path(path).exists():
        return "not there yet; `serve` creates it"
    app.open_database(settings).close()
    return "answers, its schema is the one of this version"


def _codecs(_settings: Settings) -> str:
    return f"{len(decodable_transfer_syntaxes())} transfer syntaxes can be decoded"


def _device(settings: Settings) -> str:
    from inference.run.device import describe_device

    workers = count_workers(settings.models)
    models = bind_worker(settings, worker=1, workers=workers).models
    said = describe_device(models.device, models.threads)
    return said if workers == 1 else f"{workers} workers, the first on {said}"


def _model(settings: Settings, *, model: str) -> str:
    from inference.bundle import find_bundle, verify_bundle

    card = find_bundle(model, settings.models.folder)
    if faults := verify_bundle(card.folder, settings.models.python_classes):
        raise NodeError("; ".join(faults))
    return f"version {card.version}, {card.architecture}, digest agrees"
