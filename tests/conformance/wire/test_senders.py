"""Other people's senders: both acceptors keep the same bytes of them.

dcmtk's tools and Orthanc write every data set anew before they send it, so what they
send is known only by what pynetdicom was given. Files that go out as they lie there
are compared with themselves.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.filereader import read_file_meta_info
from pynetdicom import AE

from inference.pixels.codecs import UNDECODABLE
from tests.conformance.wire.answers import statuses
from tests.conformance.wire.pair import Dialogue, Pair, Talk, stored_by
from tests.conformance.wire.pdu import (
    BIG_ENDIAN,
    IMPLICIT,
    Context,
    Offer,
    Store,
    message,
)
from tests.conformance.wire.reference import Stored
from tests.conformance.wire.requestor import settle
from tests.integration.receive.node import dataset_bytes, until
from tests.orthanc import Orthanc, OrthancSettings, running_orthanc
from tests.peers import Address, dcmsend, echoscu, run_tool, shared_data, storescu

# storescu's option that proposes the file's own transfer syntax.
FILES = {
    "rtplan.dcm": "-xi",
    "CT_small.dcm": "-xe",
    "MR_small_bigendian.dcm": "-xb",
    "image_dfl.dcm": "-xd",
    "SC_rgb_jpeg_dcmtk.dcm": "-xy",
    "JPEG-lossy.dcm": "-xx",
    "SC_rgb_jpeg_gdcm.dcm": "-xs",
    "MR_small_jpeg_ls_lossless.dcm": "-xt",
    "JPEG2000.dcm": "-xw",
    "MR_small_jp2klossless.dcm": "-xv",
    "MR_small_RLE.dcm": "-xr",
    "test-SR.dcm": "-xe",
}
# Not all files that were collected as good ones are: PS3.4 B.2.3.
REFUSED = {
    # Affected SOP Instance UID is not that of the data set.
    "chrJapMulti.dcm": 0xA900,
    "chrJapMultiExplicitIR6.dcm": 0xA900,
    # Without SOP Class UID, or without Study Instance UID.
    "chrSQEncoding.dcm": 0xC000,
    "chrSQEncoding1.dcm": 0xC000,
    "HTJ2KLossless_08_RGB.dcm": 0xC000,
    "HTJ2K_08_RGB.dcm": 0xC000,
    # Pixel Data ends before its last frame does.
    "emri_small_jpeg_2k_lossless_too_short.dcm": 0xC000,
}


def bundled(name: str) -> Path:
    found = get_testdata_file(name)
    assert found, f"pydicom bundles {name}"
    return Path(str(found))


@dataclass(frozen=True, slots=True)
class Sending:
    """What a sender said of its work, and what was kept of it."""

    result: object
    stored: list[Stored]


def send_to_both(
    pair: Pair, send: Callable[[Address], object], *, count: int
) -> tuple[Sending, Sending]:
    """Let a sender loose on both; `count` instances are waited for."""
    received, kept = len(pair.node.received), len(pair.reference.stored())
    ours, theirs = (send(Address(port=port)) for port in pair.ports)
    until(lambda: len(pair.node.received) >= received + count)
    until(lambda: len(pair.reference.stored()) >= kept + count)
    return (
        Sending(ours, stored_by(pair.node, since=received)),
        Sending(theirs, pair.reference.stored(kept)),
    )


@pytest.fixture(autouse=True)
def no_stalls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the reference dcmtk's waits: ours would not need it."""
    monkeypatch.setitem(os.environ, "TCP_NODELAY", "1")


@pytest.mark.parametrize("name", FILES)
def test_storescu_sends_its_file_in_its_own_syntax(pair: Pair, name: str) -> None:
    file = bundled(name)
    ours, theirs = send_to_both(
        pair,
        lambda to: storescu(to, [file], options=[FILES[name]]).returncode,
        count=1,
    )
    assert ours == theirs
    assert ours.result == 0


@pytest.mark.parametrize(
    "options",
    [
        ["-xi"],
        ["-xb"],
        ["+C"],
        ["--max-send-pdu", "4096"],
        ["--max-send-pdu", "131072", "-pdu", "131072"],
        ["-pdu", "4096"],
        ["--repeat", "3"],
        ["--abort"],
        ["-usr", "someone", "-pwd", "word"],
    ],
    ids=" ".join,
)
def test_storescu_sends_several_files_whatever_its_options(
    pair: Pair, options: list[str]
) -> None:
    files = [bundled(name) for name in ("CT_small.dcm", "test-SR.dcm", "rtplan.dcm")]
    count = len(files) * (3 if "--repeat" in options else 1)
    ours, theirs = send_to_both(
        pair, lambda to: storescu(to, files, options=options).returncode, count=count
    )
    assert ours == theirs
    assert len(ours.stored) == count


def test_storescu_hears_no_confirmation_of_a_user_over_plain_tcp(pair: Pair) -> None:
    file = bundled("CT_small.dcm")
    options = ["-usr", "someone", "-rsp"]
    ours, theirs = send_to_both(
        pair, lambda to: storescu(to, [file], options=options).returncode, count=0
    )
    assert ours == theirs
    assert ours.result != 0, "it gives up without one"


def test_storescu_offers_all_that_it_knows(pair: Pair) -> None:
    def send(to: Address) -> int:
        file = bundled("CT_small.dcm")
        arguments = ("-aec", to.ae_title, to.host, str(to.port))
        return run_tool("storescu", *arguments, file).returncode

    ours, theirs = send_to_both(pair, send, count=1)
    assert ours == theirs


def test_dcmsend_sends_every_syntax_in_one_association(pair: Pair) -> None:
    files = [bundled(name) for name in FILES]
    ours, theirs = send_to_both(
        pair, lambda to: dcmsend(to, files).returncode, count=len(files)
    )
    assert ours == theirs
    syntaxes = {str(read_file_meta_info(file).TransferSyntaxUID) for file in files}
    # dcmsend turns what is not compressed into Explicit VR Little Endian.
    converted = {IMPLICIT, BIG_ENDIAN}
    assert {item.transfer_syntax_uid for item in ours.stored} == syntaxes - converted


def test_echoscu_is_answered(pair: Pair) -> None:
    assert [echoscu(Address(port=port)) for port in pair.ports] == [True, True]


@pytest.mark.parametrize("max_pdu", [0, 4096, 16384, 131072, 1 << 20])
def test_pynetdicom_sends_whatever_length_it_takes(pair: Pair, max_pdu: int) -> None:
    dataset = dcmread(bundled("MR_small_RLE.dcm"))
    syntax = dataset.file_meta.TransferSyntaxUID

    def send(to: Address) -> list[int]:
        entity = AE()
        entity.add_requested_context(dataset.SOPClassUID, syntax)
        association = entity.associate(
            to.host, to.port, ae_title=to.ae_title, max_pdu=max_pdu
        )
        answers = []
        for _ in range(2):
            settle(association)
            answers.append(association.send_c_store(dataset).Status)
        association.release()
        return answers

    ours, theirs = send_to_both(pair, send, count=2)
    assert ours == theirs
    assert ours.result == [0, 0]


def collected() -> list[Path]:
    """Return the real files that are no attack, in syntaxes that can be decoded."""
    folder = shared_data("dicom")
    return sorted(
        path
        for path in folder.rglob("*.dcm")
        if not {"fuzz", "malformed"} & set(path.relative_to(folder).parts)
        and path.read_bytes()[128:132] == b"DICM"
        and str(read_file_meta_info(path).TransferSyntaxUID) not in UNDECODABLE
    )


def as_they_lie(files: list[Path]) -> Dialogue:
    """Return the stores of files, byte for byte, on one association."""
    metas = {path: read_file_meta_info(path) for path in files}
    places = sorted(
        {
            (str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID))
            for meta in metas.values()
        }
    )
    ids = {place: 2 * number + 1 for number, place in enumerate(places)}
    sent = []
    for path, meta in metas.items():
        place = str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID)
        request = Store(
            sop_class_uid=place[0],
            sop_instance_uid=str(meta.MediaStorageSOPInstanceUID),
        )
        sent.append(message(ids[place], request.encode(), dataset_bytes(path)[0]))
    contexts = tuple(
        Context(number, sop_class_uid, (syntax,))
        for (sop_class_uid, syntax), number in ids.items()
    )
    offer = Offer(contexts=contexts)
    return Dialogue(request=offer.encode(), sent=sent, answers=len(sent))


def test_every_real_file_is_kept_byte_for_byte(pair: Pair) -> None:
    files = collected()
    since = len(pair.node.received)
    talk = Talk(pair.node.port, as_they_lie(files))
    talk.begin()
    answers = dict(zip(files, statuses(talk.finish()), strict=True))
    refused = {path.name: status for path, status in answers.items() if status}
    assert refused == REFUSED
    kept = [item.dataset for item in stored_by(pair.node, since=since)]
    assert kept == [
        dataset_bytes(path)[0] for path, status in answers.items() if not status
    ]


@pytest.fixture(scope="module")
def sending_orthanc(
    pair: Pair, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Orthanc]:
    """An Orthanc that knows both acceptors."""
    modalities = [
        (name, Address(port=port))
        for name, port in zip(("ours", "theirs"), pair.ports, strict=True)
    ]
    settings = OrthancSettings(modalities=modalities)
    with running_orthanc(tmp_path_factory.mktemp("orthanc"), settings) as running:
        yield running


def test_orthanc_sends_every_syntax(pair: Pair, sending_orthanc: Orthanc) -> None:
    # Orthanc 1.10 cannot read deflated files.
    for name in FILES.keys() - {"image_dfl.dcm"}:
        sending_orthanc.upload(bundled(name))
    instances = sorted(sending_orthanc.rest("/instances"))
    names = iter(("ours", "theirs"))

    def send(_: Address) -> object:
        answer = sending_orthanc.rest(
            f"/modalities/{next(names)}/store",
            method="POST",
            body={"Resources": instances, "Synchronous": True},
        )
        return answer["FailedInstancesCount"], answer["InstancesCount"]

    ours, theirs = send_to_both(pair, send, count=len(instances))
    assert ours == theirs
    assert ours.result == (0, len(instances))
