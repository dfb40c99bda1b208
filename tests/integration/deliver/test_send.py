"""Files to an application entity, in the bytes they have."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydicom.data import get_testdata_file
from pynetdicom import AllStoragePresentationContexts

from dicom_node.core.errors import DeliveryError, UsageError
from dicom_node.deliver.peer import Peer
from dicom_node.deliver.send import SendProgress, echo, send_files
from tests.integration.deliver.peers import (
    COMPREHENSIVE_3D,
    Behaviour,
    data_set_bytes,
    make_report,
    raw_peer,
    running_peer,
)
from tests.peers import StoreScp, free_port

# Explicit, JPEG 2000, RLE, JPEG-LS and deflated files that pydicom installs.
FILES = [
    "CT_small.dcm",
    "MR_small.dcm",
    "MR_small_RLE.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "MR_small_bigendian.dcm",
    "image_dfl.dcm",
]


def _peer(port: int = 104, **changes: object) -> Peer:
    settings = {
        "host": "127.0.0.1",
        "port": port,
        "called_ae_title": "PACS",
        "calling_ae_title": "SENDER",
        "timeout_seconds": 10.0,
    } | changes
    return Peer(**settings)  # type: ignore[arg-type]  # any option, by its name


def _bundled(names: Sequence[str] = FILES) -> list[Path]:
    found = [get_testdata_file(name, download=False) for name in names]
    return [Path(str(name)) for name in found if name]


def test_every_file_arrives_in_the_bytes_it_has(storescp: StoreScp) -> None:
    files = _bundled()
    assert len(files) >= 6

    summary = send_files(files, _peer(storescp.address.port))

    assert [file.problem for file in summary.files if file.problem] == []
    assert [file.status for file in summary.files] == [0] * len(files)
    # storescp names a file by its UID, which the MR variants share: compare here
    with running_peer(
        Behaviour(
            classes=sorted({file.sop_class_uid for file in summary.files}),
            syntaxes=sorted({file.transfer_syntax_uid for file in summary.files}),
        )
    ) as (port, received):
        send_files(files, _peer(port))
    sent = [data_set_bytes(path) for path in files]
    assert [len(content) % 2 for content in received.encoded] == [0] * len(files)
    assert [a[: len(b)] for a, b in zip(received.encoded, sent, strict=True)] == sent
    assert received.syntaxes == [file.transfer_syntax_uid for file in summary.files]


def test_a_folder_is_sent_with_everything_under_it(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    reports = [make_report(tmp_path / "a"), make_report(tmp_path / "a" / "b")]
    (tmp_path / "notes.txt").write_text("not an image")
    steps: list[SendProgress] = []

    with running_peer(Behaviour()) as (port, received):
        summary = send_files([tmp_path], _peer(port), on_progress=steps.append)

    assert sorted(received.uids) == sorted(r.report.sop_instance_uid for r in reports)
    assert not summary.complete
    assert (summary.taken, len(summary.files)) == (2, 3)
    (text,) = [file for file in summary.files if not file.taken]
    assert (text.path.name, text.problem) == ("notes.txt", "not a DICOM file (PS3.10)")
    assert [(step.done, step.total) for step in steps] == [(1, 3), (2, 3), (3, 3)]


def test_a_refused_file_says_why_and_the_others_are_sent(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        make_report(tmp_path / name)

    with running_peer(Behaviour(statuses=[0, 0xC000, 0xB000])) as (port, _):
        summary = send_files([tmp_path], _peer(port))

    first, second, third = summary.files
    assert first.taken
    assert not second.taken
    assert "0xC000" in second.problem
    assert third.taken
    assert "0xB000" in third.problem


def test_a_class_that_is_not_accepted_is_said_of_its_files_only(
    tmp_path: Path,
) -> None:
    make_report(tmp_path)
    files = [*_bundled(["CT_small.dcm"]), tmp_path]

    with running_peer(Behaviour(classes=[COMPREHENSIVE_3D])) as (port, _):
        summary = send_files(files, _peer(port))
    with running_peer(Behaviour(classes=[])) as (port, _):
        none = send_files(files, _peer(port))

    assert [file.taken for file in summary.files] == [False, True]
    assert "CT Image Storage in Explicit VR Little Endian" in summary.files[0].problem
    assert [file.taken for file in none.files] == [False, False]


def test_what_follows_a_lost_association_is_said_to_be_not_sent(
    tmp_path: Path,
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        make_report(tmp_path / name)

    with running_peer(Behaviour(drop_before_status=True)) as (port, received):
        summary = send_files([tmp_path], _peer(port))

    assert len(received.uids) == 1
    assert [file.taken for file in summary.files] == [False, False]
    first, second = summary.files
    assert "ended the association before it answered" in first.problem
    assert second.problem.startswith("not sent: ")


def test_more_contexts_than_one_association_holds_make_two(tmp_path: Path) -> None:
    known = [str(c.abstract_syntax) for c in AllStoragePresentationContexts[:130]]
    for sop_class in known:
        (tmp_path / sop_class).mkdir()
        make_report(tmp_path / sop_class, sop_class)

    with running_peer(Behaviour(classes=known)) as (port, received):
        summary = send_files([tmp_path], _peer(port, timeout_seconds=30.0))

    assert summary.complete
    assert len(set(received.uids)) == 130


def test_broken_files_are_reported_and_never_stop_the_others(tmp_path: Path) -> None:
    good = make_report(tmp_path)
    content = good.path.read_bytes()
    (tmp_path / "empty.dcm").write_bytes(b"")
    (tmp_path / "cut-in-meta.dcm").write_bytes(content[:150])
    (tmp_path / "only-meta.dcm").write_bytes(content[: -len(data_set_bytes(good.path))])
    (tmp_path / "no-meta.dcm").write_bytes(data_set_bytes(good.path))

    with running_peer(Behaviour()) as (port, received):
        summary = send_files([tmp_path], _peer(port))

    assert received.uids == [good.report.sop_instance_uid]
    assert summary.taken == 1
    assert all(file.problem for file in summary.files if not file.taken)


def test_a_path_that_does_not_exist_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file or folder"):
        send_files([tmp_path / "missing"], _peer(104))
    with pytest.raises(UsageError, match="name files or folders"):
        send_files([tmp_path], _peer(104))


def test_a_peer_that_is_not_there_is_one_error_of_one_sentence(tmp_path: Path) -> None:
    make_report(tmp_path)

    with pytest.raises(DeliveryError, match=r"nothing listens there; .* --to"):
        send_files([tmp_path], _peer(free_port()))


def test_echo_tells_the_seconds_or_why_not() -> None:
    with running_peer(Behaviour(ae_title="X", check_called=True)) as (port, _):
        assert 0 < echo(_peer(port, called_ae_title="X")) < 10
        with pytest.raises(DeliveryError, match="check --called"):
            echo(_peer(port))
    with (
        raw_peer(lambda connection: connection.close()) as port,
        pytest.raises(DeliveryError),
    ):
        echo(_peer(port))


@pytest.mark.parametrize(
    "changes",
    [
        {"called_ae_title": ""},
        {"called_ae_title": "SEVENTEEN-LETTERS"},
        {"calling_ae_title": "A\\B"},
        {"calling_ae_title": "AÉ"},
        {"port": 0},
        {"port": 70000},
        {"host": ""},
    ],
)
def test_an_address_that_cannot_be_used_is_a_usage_error(
    changes: dict[str, Any],
) -> None:
    with pytest.raises(UsageError):
        _peer(**changes)
