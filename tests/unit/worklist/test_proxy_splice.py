"""Elements of an answer are changed, and no other byte."""

from collections.abc import Callable
from io import BytesIO

import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from config.proxy import ProxyTable
from dicom_node.core.states import Urgency
from dicom_node.worklist.proxy_answer import Advice, Enricher, OrderKey
from dicom_node.worklist.proxy_splice import NotUnderstood, read_elements, splice

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
PRIORITY, COMMENTS, REASON = 0x00401003, 0x00401400, 0x00401002


def _encode(dataset: Dataset, *, explicit: bool) -> bytes:
    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = not explicit, True
    write_dataset(stream, dataset)
    return bytes(stream.getvalue())


def _decode(encoded: bytes, *, explicit: bool) -> Dataset:
    return read_dataset(BytesIO(encoded), not explicit, True)


def _nested(*, undefined: bool) -> Dataset:
    inner, step, order = Dataset(), Dataset(), Dataset()
    inner.CodeValue = "X"
    step.Modality = "DX"
    step.ScheduledProtocolCodeSequence = Sequence([inner])
    order.AccessionNumber = "A1"
    order.ScheduledProcedureStepSequence = Sequence([step, Dataset()])
    order.RequestedProcedureID = "R1"
    for dataset, keyword in (
        (step, "ScheduledProtocolCodeSequence"),
        (order, "ScheduledProcedureStepSequence"),
    ):
        dataset[keyword].is_undefined_length = undefined
        for item in dataset[keyword].value:
            item.is_undefined_length_sequence_item = undefined
    return order


@pytest.mark.parametrize("explicit", [True, False])
@pytest.mark.parametrize("undefined", [True, False])
def test_the_elements_of_nested_data_sets_are_found(
    explicit: bool, undefined: bool
) -> None:
    order = _nested(undefined=undefined)
    found = read_elements(_encode(order, explicit=explicit), explicit=explicit)
    assert [one.tag for one in found] == [int(tag) for tag in sorted(order.keys())]


@pytest.mark.parametrize("explicit", [True, False])
@pytest.mark.parametrize("undefined", [True, False])
def test_what_is_added_is_read_by_pydicom_and_the_rest_is_the_same(
    explicit: bool, undefined: bool
) -> None:
    order = _nested(undefined=undefined)
    encoded = _encode(order, explicit=explicit)
    changed = splice(encoded, {PRIORITY: (b"SH", b"STAT")}, explicit=explicit)
    read = _decode(changed, explicit=explicit)
    assert read.RequestedProcedurePriority == "STAT"
    del read.RequestedProcedurePriority
    assert read == _decode(encoded, explicit=explicit)
    assert splice(encoded, {}, explicit=explicit) == encoded


@pytest.mark.parametrize("explicit", [True, False])
def test_what_is_cut_off_anywhere_is_not_understood_or_a_whole_data_set(
    explicit: bool,
) -> None:
    encoded = _encode(_nested(undefined=True), explicit=explicit)
    whole = {one.end for one in read_elements(encoded, explicit=explicit)}
    for end in range(1, len(encoded)):
        if end in whole:
            continue
        with pytest.raises(NotUnderstood):
            read_elements(encoded[:end], explicit=explicit)


def _advice(
    reason: str = "Pneumothorax 0.93", urgency: Urgency = Urgency.URGENT
) -> Callable[[OrderKey], Advice]:
    def advise(_order: OrderKey) -> Advice:
        return Advice(urgency=urgency, reason=reason, model="cxr", model_version="1")

    return advise


def _enriched(order: Dataset, reason: str = "x", **settings: object) -> Dataset:
    table = ProxyTable.model_validate({"add": "always", **settings})
    enricher = Enricher(table, _advice(reason))
    wanted = enricher.asked_for(b"", EXPLICIT)
    encoded = _encode(order, explicit=True)
    return _decode(enricher.enrich(encoded, EXPLICIT, wanted), explicit=True)


@pytest.mark.parametrize(
    ("own", "shown"),
    [("", "HIGH"), ("LOW", "HIGH"), ("ROUTINE", "HIGH"), ("HIGH", "HIGH"),
     ("STAT", "STAT"), ("LOCAL", "LOCAL")],
)  # fmt: skip
def test_a_priority_is_raised_and_never_lowered(own: str, shown: str) -> None:
    order = Dataset()
    order.RequestedProcedurePriority = own
    assert _enriched(order).RequestedProcedurePriority == shown


def test_a_long_reason_leaves_the_order_s_own_text_whole() -> None:
    order = Dataset()
    order.ReasonForTheRequestedProcedure = "fell from a ladder"
    read = _enriched(order, "y" * 200, reason_in=["reason"])
    said = read.ReasonForTheRequestedProcedure
    assert said.startswith("fell from a ladder; AI suggests URGENT: yy")
    assert len(said) == 64


def test_where_there_is_no_room_the_order_s_text_stays_alone() -> None:
    order = Dataset()
    order.ReasonForTheRequestedProcedure = "z" * 60
    read = _enriched(order, reason_in=["reason"])
    assert read.ReasonForTheRequestedProcedure == "z" * 60


@pytest.mark.parametrize(
    ("character_set", "shown"), [("ISO_IR 192", "기흉"), ("ISO_IR 100", "??")]
)
def test_a_reason_is_written_in_the_answer_s_character_set(
    character_set: str, shown: str
) -> None:
    order = Dataset()
    order.SpecificCharacterSet = character_set
    order.RequestedProcedureComments = "ok"
    said = _enriched(order, "기흉").RequestedProcedureComments
    assert shown in said


def test_an_answer_that_cannot_be_read_goes_on_as_it_came() -> None:
    enricher = Enricher(ProxyTable(add="always"), _advice())
    wanted = enricher.asked_for(b"", EXPLICIT)
    for broken in (b"\x01", b"\xff" * 40, b"\x08\x00\x50\x00SH\xff\xff"):
        assert enricher.enrich(broken, EXPLICIT, wanted) == broken
