"""The benchmark's sender, checked against pynetdicom and pydicom."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.dsutils import decode
from pynetdicom.pdu import A_ASSOCIATE_RQ, P_DATA_TF

from benchmarks.blaster import Sent, Task, blast
from benchmarks.corpus import MR, Files, Kind, Numbers, make_template
from benchmarks.floor import Loop
from benchmarks.part10 import part10, read_image, read_images
from benchmarks.template import UID_LENGTH, Template, make_uid
from benchmarks.wire import (
    Titles,
    WireError,
    associate,
    connect,
    dataset_pdus,
    position,
    store_request,
)

UIDS = (make_uid(11), make_uid(12), make_uid(13))
SMALL = replace(MR, rows=32, columns=32)


@pytest.fixture(scope="module")
def template() -> Template:
    return make_template(SMALL, 0)


@contextmanager
def scp(
    answers: list[bytes], *, status: int = 0, kind: Kind = SMALL, max_pdu: int = 16382
) -> Iterator[int]:
    """pynetdicom's storage SCP; keeps the data sets it was sent."""

    def on_store(event: evt.Event) -> int:
        answers.append(event.encoded_dataset(include_meta=False))
        return status

    entity = AE(ae_title="BENCH")
    entity.maximum_pdu_size = max_pdu
    entity.add_supported_context(kind.sop_class_uid, ExplicitVRLittleEndian)
    server = entity.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, on_store)]
    )
    assert server is not None
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()


def task(folder: Path, template: Template, port: int, *, images: int = 3) -> Task:
    path = template.save(folder / "one.template")
    return Task(
        port=port,
        called="BENCH",
        associations=1,
        images=images,
        templates=(str(path),),
        first_uid=1000,
    )


def test_an_association_request_says_what_pynetdicom_understands() -> None:
    sent: list[bytes] = []

    class Recorder:
        def sendall(self, data: bytes | bytearray, /) -> None:
            sent.append(bytes(data))

        def recv(self, _size: int, /) -> bytes:
            return b""

    titles = Titles(calling="ME", called="YOU", sop_class_uid=str(SMALL.sop_class_uid))
    with pytest.raises(WireError):
        associate(Recorder(), titles)
    request = A_ASSOCIATE_RQ()
    request.decode(sent[0])
    primitive = request.to_primitive()
    assert primitive.calling_ae_title == "ME"
    assert primitive.called_ae_title == "YOU"
    (context,) = primitive.presentation_context_definition_list
    assert context.abstract_syntax == SMALL.sop_class_uid
    assert context.transfer_syntax == [ExplicitVRLittleEndian]


def test_a_store_request_is_a_command_set_to_pynetdicom() -> None:
    pdu = P_DATA_TF()
    pdu.decode(store_request(str(SMALL.sop_class_uid), UIDS[0], 7))
    (item,) = pdu.presentation_data_value_items
    value = item.presentation_data_value or b""
    command = decode(BytesIO(value[1:]), True, True)
    assert value[0] == 3
    assert command.CommandField == 0x0001
    assert command.MessageID == 7
    assert command.AffectedSOPInstanceUID == UIDS[0]
    assert command.CommandGroupLength == len(value) - 1 - 12


@pytest.mark.parametrize("max_length", [64, 4096, 16384, 131072])
def test_fragments_put_together_are_the_data_set(max_length: int) -> None:
    dataset = bytes(range(256)) * 700
    rest, found, lasts = bytes(dataset_pdus(dataset, max_length)), b"", []
    while rest:
        length = int.from_bytes(rest[2:6], "big")
        assert length <= max_length
        pdu = P_DATA_TF()
        pdu.decode(rest[: 6 + length])
        for item in pdu.presentation_data_value_items:
            value = item.presentation_data_value or b""
            lasts.append(value[0] & 2)
            found += value[1:]
        rest = rest[6 + length :]
    assert found == dataset
    assert lasts == [0] * (len(lasts) - 1) + [2]


@pytest.mark.parametrize("offset", [0, 100, 4089, 5000, 9000])
def test_a_place_in_the_data_set_is_found_in_its_pdus(offset: int) -> None:
    dataset = bytearray(20000)
    dataset[offset] = 0xAA
    pdus = dataset_pdus(dataset, 4096)
    assert pdus[position(offset, 1, 4096)] == 0xAA


def test_a_uid_across_two_pdus_is_refused() -> None:
    with pytest.raises(ValueError, match="two PDUs"):
        position(4090 - 10, UID_LENGTH, 4096)


@pytest.mark.parametrize("max_pdu", [16382, 131072, 0])
def test_every_image_arrives_whole_and_with_a_uid_of_its_own(
    tmp_path: Path, template: Template, max_pdu: int
) -> None:
    received: list[bytes] = []
    with scp(received, max_pdu=max_pdu) as port:
        sent = blast(task(tmp_path, template, port))
    assert sent.images == 3
    assert sent.seconds > 0
    study, series = make_uid(1000), make_uid(1001)
    assert received == [
        bytes(template.with_uids((make_uid(number), study, series)))
        for number in (1002, 1003, 1004)
    ]


@pytest.mark.parametrize("processes", [False, True])
def test_several_associations_send_side_by_side(
    tmp_path: Path, template: Template, processes: bool
) -> None:
    received: list[bytes] = []
    with scp(received) as port:
        wanted = replace(
            task(tmp_path, template, port), associations=3, processes=processes
        )
        assert blast(wanted).images == 9
    assert len(set(received)) == 9


def test_an_answer_that_is_not_success_fails_the_measurement(
    tmp_path: Path, template: Template
) -> None:
    with scp([], status=0xA700) as port, pytest.raises(WireError, match="0xa700"):
        blast(task(tmp_path, template, port))


def test_a_class_that_is_not_accepted_fails_the_measurement(
    tmp_path: Path, template: Template
) -> None:
    other = replace(SMALL, sop_class_uid="1.2.840.10008.5.1.4.1.1.2")
    with scp([], kind=other) as port, pytest.raises(WireError, match="context"):
        blast(task(tmp_path, template, port))


def test_the_bare_loop_writes_all_that_was_sent(
    tmp_path: Path, template: Template
) -> None:
    import socket

    folder = tmp_path / "loop"
    folder.mkdir()
    loop = Loop(folder)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            loop.serve(connection)

        server = threading.Thread(target=serve)
        server.start()
        wanted = replace(task(tmp_path, template, listener.getsockname()[1]), bare=True)
        sent: Sent = blast(wanted)
        server.join(30)
    files = sorted(folder.glob("*.dcm"))
    assert sent.images == len(files) == 3
    assert {path.stat().st_size for path in files} == {files[0].stat().st_size}
    assert template.content[-100:] in files[0].read_bytes()


def test_a_template_survives_its_file(tmp_path: Path, template: Template) -> None:
    assert Template.load(template.save(tmp_path / "t")) == template


def test_a_template_needs_each_uid_once() -> None:
    with pytest.raises(ValueError, match="exactly once"):
        Template.of(b"nothing", "1.2", placeholders=UIDS)


def test_an_image_looks_like_a_scanner_s(template: Template) -> None:
    read = dcmread(BytesIO(part10(template, UIDS)))
    assert (read.SOPInstanceUID, read.StudyInstanceUID, read.SeriesInstanceUID) == UIDS
    assert read.file_meta.MediaStorageSOPInstanceUID == UIDS[0]
    assert read.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert read.pixel_array.shape == (32, 32)
    elements = list(read.iterall())
    assert len(elements) > 160
    assert sum(element.tag.is_private for element in elements) > 40


def test_files_sent_again_have_other_uids_and_the_same_pixels(
    tmp_path: Path, template: Template
) -> None:
    files = Files(tmp_path / "files", (template,))
    numbers = Numbers()
    files.renew(3, numbers)
    before = [dcmread(path) for path in files.paths]
    files.renew(2, numbers)
    after = [dcmread(path) for path in files.paths]
    assert sorted(tmp_path.glob("files/*")) == files.paths
    assert len(after) == 2
    uids = [read.SOPInstanceUID for read in before + after]
    assert len(set(uids)) == 5
    assert after[0].file_meta.MediaStorageSOPInstanceUID == after[0].SOPInstanceUID
    assert after[0].StudyInstanceUID == after[1].StudyInstanceUID
    assert after[0].PixelData == before[0].PixelData


def test_a_file_is_read_as_pydicom_reads_it(tmp_path: Path, template: Template) -> None:
    path = tmp_path / "one.dcm"
    path.write_bytes(part10(template, UIDS))
    (tmp_path / "note.txt").write_text("no image")
    (image,) = read_images(tmp_path)
    read = dcmread(path)
    assert image.sop_class_uid == read.SOPClassUID
    assert image.sop_instance_uid == UIDS[0]
    assert image.transfer_syntax_uid == ExplicitVRLittleEndian
    assert image.dataset == bytes(template.with_uids(UIDS))


def test_what_is_no_dicom_file_is_refused() -> None:
    with pytest.raises(ValueError, match="DICM"):
        read_image(bytes(400))


def test_a_closed_port_is_an_error_not_a_figure(
    tmp_path: Path, template: Template
) -> None:
    with scp([]) as port:
        pass
    with pytest.raises(WireError):
        blast(task(tmp_path, template, port))


def test_every_write_of_a_sender_leaves_at_once() -> None:
    import socket

    with scp([]) as port, connect("127.0.0.1", port) as connection:
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
