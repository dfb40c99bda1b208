"""Every storage class and every syntax that can be decoded, and nothing else."""

import subprocess
import sys

import pytest
from pynetdicom import AllStoragePresentationContexts, build_context

from config.settings import Settings
from dicom_node.receive.contexts import (
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    is_storage_class,
    supported_contexts,
)
from dicom_node.receive.options import ReceiveOptions

# standards.md section 5, from PS3.6 table A-1
DECODABLE = {f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".2", ".1.99", ".5")} | {
    f"1.2.840.10008.1.2.4.{end}"
    for end in (50, 51, 57, 70, 80, 81, 90, 91, 201, 202, 203)
}
CT = "1.2.840.10008.5.1.4.1.1.2"


def test_the_transfer_syntaxes_are_those_the_node_can_decode() -> None:
    assert ReceiveOptions().transfer_syntaxes == DECODABLE


def test_the_settings_reach_the_options() -> None:
    options = ReceiveOptions.from_settings(Settings())
    assert options.ae_title == "AINODE"
    assert options.max_pdu_bytes == 131072
    assert options.scan.max_depth == 32


def test_all_storage_classes_are_known() -> None:
    assert all(
        is_storage_class(str(context.abstract_syntax))
        for context in AllStoragePresentationContexts
    )


@pytest.mark.parametrize(
    ("uid", "expected"),
    [
        ("1.2.840.10008.5.1.4.1.1.6", True),  # Ultrasound Image Storage (Retired)
        ("1.3.46.670589.5.0.1", True),  # private
        ("1.2.840.10008.1.1", False),
        ("1.2.840.10008.1.20.1", False),  # Storage Commitment Push Model
        ("1.2.840.10008.1.3.10", False),  # Media Storage Directory Storage
        ("1.2.840.10008.5.1.4.1.2.2.1", False),  # Study Root FIND
        ("1.2.840.10008.5.1.4.31", False),  # Modality Worklist FIND
    ],
)
def test_what_counts_as_storage(uid: str, expected: bool) -> None:
    assert is_storage_class(uid) is expected


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ([IMPLICIT_LITTLE, EXPLICIT_LITTLE], EXPLICIT_LITTLE),
        (["1.2.840.10008.1.2.4.70", EXPLICIT_LITTLE], "1.2.840.10008.1.2.4.70"),
        (["1.2.840.10008.1.2.4.110", IMPLICIT_LITTLE], IMPLICIT_LITTLE),
    ],
)
def test_the_senders_order_counts_but_implicit_vr_comes_last(
    offered: list[str], chosen: str
) -> None:
    (context,) = supported_contexts(
        [build_context(CT, offered)], ReceiveOptions().transfer_syntaxes
    )
    assert context.transfer_syntax[0] == chosen


def test_a_receiver_process_imports_neither_torch_nor_a_decoder() -> None:
    heavy = ("torch", "timm", "highdicom", "imagecodecs", "sqlalchemy")
    code = (
        "import sys, dicom_node.receive.acceptor, dicom_node.receive.stored; "
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
