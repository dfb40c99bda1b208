"""Files are compared by their bytes, and a damaged one is not compared at all."""

import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from dicom_node.core.errors import StoreError
from dicom_node.part10.digest import dataset_digest, name_digest
from dicom_node.part10.head import file_head
from dicom_node.receive.compare import FileCompare
from dicom_node.receive.limits import ScanLimits
from tests.unit.receive.build import (
    BIG,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    encode,
    image,
    long_element,
    minimal,
)

JPEG = "1.2.840.10008.1.2.4.90"
JPEG_LOSSY = "1.2.840.10008.1.2.4.91"
PIXELS = bytes(range(48))
AE_TITLE = len(
    file_head("1.2", "1.2.3.4", transfer_syntax_uid=EXPLICIT, source_ae_title="")
)


class Folder:
    """Files as the store keeps them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.compare = FileCompare(self.path, ScanLimits())

    def path(self, key: str) -> Path:
        return self.folder / key

    def put(self, sent: bytes, syntax: str = EXPLICIT, sender: str = "A") -> str:
        head = file_head(
            "1.2", "1.2.3.4", transfer_syntax_uid=syntax, source_ae_title=sender
        )
        digest = name_digest(head, dataset_digest(sent).digest())
        key = f"{digest}{len(list(self.folder.iterdir())):032x}"
        self.path(key).write_bytes(head + sent)
        return key

    def damage(self, key: str, position: int) -> None:
        content = bytearray(self.path(key).read_bytes())
        content[position] ^= 1
        self.path(key).write_bytes(content)

    def same_pixels(self, one: bytes, other: bytes, *syntaxes: str) -> bool:
        keys = [
            self.put(sent, syntax)
            for sent, syntax in zip((one, other), syntaxes, strict=True)
        ]
        answer = self.compare.same_pixels(*keys)
        assert self.compare.same_pixels(*reversed(keys)) == answer
        return answer


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def deflate(dataset: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(dataset) + packer.flush()


def encapsulated(fragment: bytes) -> bytes:
    dataset = image()
    del dataset.PixelData
    item = b"\xfe\xff\x00\xe0"
    value = item + bytes(4) + item + len(fragment).to_bytes(4, "little") + fragment
    value += b"\xfe\xff\xdd\xe0" + bytes(4)
    return encode(dataset) + long_element(0x7FE00010, b"OB", value, length=0xFFFFFFFF)


def test_the_same_data_set_of_two_senders_is_the_same(folder: Folder) -> None:
    sent = encode(image(Rows=400, Columns=2000, PixelData=bytes(1_600_000)))
    one, other = folder.put(sent, sender="A"), folder.put(sent, sender="B")
    assert folder.path(one).read_bytes() != folder.path(other).read_bytes()
    assert folder.compare.same_dataset(one, other)


def test_one_other_byte_or_one_more_is_another_data_set(folder: Folder) -> None:
    sent = encode(image(Rows=400, Columns=2000, PixelData=bytes(1_600_000)))
    one = folder.put(sent)
    assert not folder.compare.same_dataset(one, folder.put(sent[:-1] + b"\1"))
    assert not folder.compare.same_dataset(one, folder.put(sent + b"\0"))


@pytest.mark.parametrize(
    "change",
    [{"PatientName": "After^Coercion"}, {"StudyDescription": "Thorax"}, {}],
)
def test_other_words_around_the_pixels_leave_them_the_same(
    folder: Folder, change: dict[str, object]
) -> None:
    one = encode(image(PixelData=PIXELS))
    other = encode(image(PixelData=PIXELS, **change))
    assert folder.same_pixels(one, other, EXPLICIT, EXPLICIT)


@pytest.mark.parametrize(
    "change",
    [
        {"PixelData": PIXELS[:-1] + b"\0"},
        {"PixelData": PIXELS + b"\0\0"},
        {"Rows": 6, "Columns": 4},
        {"PixelRepresentation": 1},
        {"BitsStored": 12},
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"Rows": 2, "NumberOfFrames": 2},
        {"BitsAllocated": 8, "SamplesPerPixel": 2},
    ],
)
def test_other_values_or_another_reading_of_them_are_other_pixels(
    folder: Folder, change: dict[str, object]
) -> None:
    one = encode(image(PixelData=PIXELS))
    other = encode(image(**({"PixelData": PIXELS} | change)))
    assert not folder.same_pixels(one, other, EXPLICIT, EXPLICIT)


def test_native_little_endian_pixels_are_the_same_in_three_syntaxes(
    folder: Folder,
) -> None:
    dataset = image(PixelData=PIXELS)
    explicit, implicit = encode(dataset), encode(dataset, IMPLICIT)
    assert folder.same_pixels(explicit, implicit, EXPLICIT, IMPLICIT)
    assert folder.same_pixels(explicit, deflate(explicit), EXPLICIT, DEFLATED)
    large = encode(image(Rows=400, Columns=2000, PixelData=bytes(1_600_000)))
    assert folder.same_pixels(large, deflate(large), EXPLICIT, DEFLATED)


def test_what_only_decoding_could_compare_is_different(folder: Folder) -> None:
    dataset = image(PixelData=PIXELS)
    explicit, big = encode(dataset), encode(dataset, BIG)
    assert not folder.same_pixels(explicit, big, EXPLICIT, BIG)
    assert folder.same_pixels(big, big, BIG, BIG)
    jpeg = encapsulated(PIXELS)
    assert not folder.same_pixels(explicit, jpeg, EXPLICIT, JPEG)
    assert not folder.same_pixels(jpeg, jpeg, JPEG, JPEG_LOSSY)
    assert folder.same_pixels(jpeg, jpeg, JPEG, JPEG)
    assert not folder.same_pixels(jpeg, encapsulated(PIXELS[::-1]), JPEG, JPEG)


def test_documents_without_pixels_are_alike_and_unlike_an_image(folder: Folder) -> None:
    before = encode(minimal(StudyDescription="before"))
    after = encode(minimal(StudyDescription="after"))
    assert folder.same_pixels(before, after, EXPLICIT, EXPLICIT)
    assert not folder.same_pixels(before, encode(image()), EXPLICIT, EXPLICIT)


@pytest.mark.parametrize("position", [150, AE_TITLE, 400, -1])
def test_a_kept_file_that_was_damaged_is_not_compared(
    folder: Folder, position: int
) -> None:
    sent = encode(image(PixelData=PIXELS))
    kept, other = folder.put(sent), folder.put(sent)
    folder.damage(kept, position)
    for question in (folder.compare.same_dataset, folder.compare.same_pixels):
        with pytest.raises(StoreError, match="damaged"):
            question(kept, other)


@pytest.mark.parametrize("lose", [Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_kept_file_that_is_gone_is_a_store_error(
    folder: Folder, lose: Callable[[Path], object]
) -> None:
    sent = encode(image(PixelData=PIXELS))
    kept, other = folder.put(sent), folder.put(sent)
    lose(folder.path(kept))
    for question in (folder.compare.same_dataset, folder.compare.same_pixels):
        with pytest.raises(StoreError):
            question(kept, other)
