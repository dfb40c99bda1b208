"""Malformed data sets: each is accepted whole, refused or aborted, and soon."""

import random
import struct
from collections.abc import Iterator
from pathlib import Path

from pydicom.data import get_testdata_file

from tests.attacks.attack import Plan, attack
from tests.attacks.corpus import REFUSED, Sample, not_kept, read_sample, send_all
from tests.attacks.datasets import (
    INSTANCE,
    UNDEFINED,
    element,
    encapsulated,
    image,
)
from tests.attacks.peer import ABORTED
from tests.attacks.receiver import MIB, Receiver
from tests.integration.receive.wire import CT, EXPLICIT, IMPLICIT, uid
from tests.peers import shared_data

SEED = 20261122
MUTATIONS = 300
# Small files of several classes and syntaxes.
SEEDS = (
    "CT_small.dcm",
    "MR_small.dcm",
    "MR_small_RLE.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_implicit.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "JPEG2000.dcm",
    "image_dfl.dcm",
    "liver_1frame.dcm",
    "reportsi.dcm",
    "rtplan.dcm",
    "waveform_ecg.dcm",
)
RLE = "1.2.840.10008.1.2.5"
PIXELS = 0x7FE00010
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD


def tag(number: int, length: int) -> bytes:
    """Encode an item or delimiter."""
    return struct.pack("<HHI", number >> 16, number & 0xFFFF, length)


def without(number: int) -> bytes:
    """Take an element of group 0008 or 0020 with a UID out of an image."""
    whole = image()
    head = struct.pack("<HH2s", number >> 16, number & 0xFFFF, b"UI")
    start = whole.index(head)
    (length,) = struct.unpack_from("<H", whole, start + 6)
    return whole[:start] + whole[start + 8 + length :]


def replaced(number: int, vr: bytes, value: bytes) -> bytes:
    """Give an element of group 0028 in an image another value."""
    whole = image()
    head = struct.pack("<HH2s", number >> 16, number & 0xFFFF, vr)
    start = whole.index(head)
    (length,) = struct.unpack_from("<H", whole, start + 6)
    changed = element(number, vr, value)
    return whole[:start] + changed + whole[start + 8 + length :]


def sequence(content: bytes, *, length: int | None = None) -> bytes:
    """Put a sequence into an image."""
    return image(before=element(0x00280A00, b"SQ", content, length=length))


MALFORMED: dict[str, bytes] = {
    "no bytes": b"",
    "zeros": bytes(1000),
    "Pixel Data shorter than its length": image(
        pixels=element(PIXELS, b"OW", bytes(100), length=512)
    ),
    "two bytes for 64 x 64": image(
        rows=64, columns=64, pixels=element(PIXELS, b"OW", b"\0\0")
    ),
    "Rows 65535": image(rows=65535),
    "Rows = Columns = 65535": image(rows=65535, columns=65535),
    "Rows 0": image(rows=0),
    "2^31 frames": image(frames=1 << 31),
    "2^31 frames in one fragment": image(
        frames=1 << 31, pixels=encapsulated(bytes(64))
    ),
    "-1 frames": image(frames=-1),
    "Bits Allocated 0": replaced(0x00280100, b"US", b"\0\0"),
    "Bits Allocated 65535": replaced(0x00280100, b"US", b"\xff\xff"),
    "Samples per Pixel 0": replaced(0x00280002, b"US", b"\0\0"),
    "Samples per Pixel 65535": replaced(0x00280002, b"US", b"\xff\xff"),
    "SOP Class UID missing": without(0x00080016),
    "SOP Instance UID missing": without(0x00080018),
    "Study Instance UID missing": without(0x0020000D),
    "Series Instance UID missing": without(0x0020000E),
    "SOP Instance UID twice": element(0x00080018, b"UI", uid(INSTANCE)) + image(),
    "Pixel Data twice": image() + element(PIXELS, b"OW", bytes(512)),
    "elements of group 0002": element(0x00020010, b"UI", uid(IMPLICIT)) + image(),
    "elements of group 0000": element(0x00000002, b"UI", uid(CT)) + image(),
    "a whole file": b"MZ\x90\0".ljust(128, b"\0") + b"DICM" + image(),
    "an element longer than the data set": image(
        before=element(0x00281052, b"DS", b"1 ", length=0xFFFE)
    ),
    "a sequence longer than the data set": sequence(b"", length=0xFFFFFFFE),
    "a sequence without its end": sequence(tag(ITEM, 0), length=UNDEFINED),
    "an item without its end": sequence(tag(ITEM, UNDEFINED), length=UNDEFINED),
    "an item longer than its sequence": sequence(tag(ITEM, 100)),
    "an element longer than its item": sequence(
        tag(ITEM, 10) + element(0x00080100, b"SH", b"T ", length=100)
    ),
    "a delimiter at the top": image(before=tag(ITEM_END, 0)),
    "a sequence's end at the top": image(before=tag(SEQUENCE_END, 0)),
    "something else than items": sequence(element(0x00080100, b"SH", b"T1")),
    "text of undefined length": image(
        before=struct.pack("<HH2sHI", 0x0028, 0x0A01, b"UT", 0, UNDEFINED)
    ),
    "fragments without their end": image(pixels=encapsulated(bytes(512))[:-8]),
    "a fragment longer than what is there": image(
        pixels=element(PIXELS, b"OB", tag(ITEM, 1 << 20), length=UNDEFINED)
    ),
    "half an element at the end": image() + b"\xe0\x7f\x10\x00OW",
}


def test_b18_malformed_data_sets_are_refused(receiver: Receiver) -> None:
    plan = Plan(
        id="B18",
        attack="malformed data sets: lengths, claims, identity, delimiters",
        how=f"{len(MALFORMED)} hand-made images, one association",
        expected="0xC000 each, the association goes on",
        peak_bytes=16 * MIB,
    )
    samples = [
        Sample(name=name, dataset=dataset, transfer_syntax=EXPLICIT)
        for name, dataset in MALFORMED.items()
    ]
    with attack(receiver, plan) as seen:
        results = send_all(receiver, samples)
        seen.saw(results.summary())
    assert results.answers.keys() == {"0xC000"}, results.answers


def test_b12_elements_without_end_that_repeat_are_bounded(receiver: Receiver) -> None:
    plan = Plan(
        id="B12",
        attack="the same elements and sequences again and again",
        how="60,000 times one element; 2,000 times one sequence of one item",
        expected="accepted or refused, memory flat",
        peak_bytes=24 * MIB,
    )
    item = tag(ITEM, UNDEFINED) + tag(ITEM_END, 0) + tag(SEQUENCE_END, 0)
    repeated = {
        "an element": element(0x00281052, b"DS", b"1 ") * 60_000,
        "a sequence": element(0x00280A00, b"SQ", item, length=UNDEFINED) * 2_000,
        "an empty sequence": element(0x00280A00, b"SQ", b"") * 60_000,
    }
    samples = [
        Sample(name=name, dataset=image(before=before), transfer_syntax=EXPLICIT)
        for name, before in repeated.items()
    ]
    with attack(receiver, plan) as seen:
        results = send_all(receiver, samples)
        assert not_kept(receiver, results.accepted) == []
        seen.saw(results.summary())


def test_b22_the_public_corpus_is_answered(receiver: Receiver) -> None:
    files = [
        path
        for folder in ("fuzz", "malformed")
        for path in sorted(shared_data("dicom", folder).rglob("*.dcm"))
    ]
    plan = Plan(
        id="B22",
        attack="public fuzzing corpus and known malformed files",
        how=f"{len(files)} files, one association",
        expected="each accepted whole or refused within 3 s, no abort",
        peak_bytes=24 * MIB,
    )
    samples = [read_sample(path) for path in files]
    with attack(receiver, plan) as seen:
        results = send_all(receiver, samples)
        assert not_kept(receiver, results.accepted) == []
        seen.saw(results.summary())
    assert ABORTED not in results.answers, results.answers
    assert results.accepted, "lenient where the wild is"


def mutations(source: random.Random, count: int) -> Iterator[Sample]:
    """Damage real files; the same source makes the same damage."""
    seeds = [read_sample(Path(str(get_testdata_file(name)))) for name in SEEDS]
    for number in range(count):
        seed = source.choice(seeds)
        yield Sample(
            name=f"{seed.name} {number}",
            dataset=damaged(source, seed.dataset),
            transfer_syntax=seed.transfer_syntax,
            sop_class=seed.sop_class,
            instance=seed.instance,
        )


def damaged(source: random.Random, dataset: bytes) -> bytes:
    """Change some bytes, most of them near the front, or cut, or repeat a piece."""
    content = bytearray(dataset)
    for _ in range(source.choice((1, 1, 2, 4, 16))):
        if not content:
            break
        start = source.randrange(min(len(content), source.choice((600, 4000, 1 << 20))))
        size = source.choice((1, 1, 2, 4, 8))
        match source.randrange(6):
            case 0:
                content[start : start + size] = source.randbytes(size)
            case 1:
                content[start : start + size] = b"\xff" * size
            case 2:
                content[start] ^= 1 << source.randrange(8)
            case 3:
                del content[start : start + size]
            case 4:
                content[start:start] = content[start : start + 64 * size]
            case 5:
                del content[start:]
    return bytes(content)


def test_mutations_of_real_files_are_answered(receiver: Receiver) -> None:
    plan = Plan(
        id="B22b",
        attack="mutations of real files",
        how=f"{MUTATIONS} mutations of {len(SEEDS)} files, seed {SEED}",
        expected="each accepted whole or refused within 3 s, no abort",
        peak_bytes=32 * MIB,
    )
    samples = list(mutations(random.Random(SEED), MUTATIONS))
    with attack(receiver, plan) as seen:
        results = send_all(receiver, samples)
        assert not_kept(receiver, results.accepted) == []
        seen.saw(results.summary())
    assert ABORTED not in results.answers, results.answers
    assert REFUSED not in results.answers, "every seed is one that the node takes"
    assert len(results.answers) > 1, "some are damaged, some are not"
