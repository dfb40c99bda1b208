"""Every transfer syntax the node accepts, sent by other people's tools."""

from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRBigEndian, generate_uid
from pynetdicom import AE

from tests.e2e.images import make_radiograph, new_study_uid, save, stored_digests
from tests.e2e.node import Node, NodeSettings
from tests.e2e.pacs import running_pacs
from tests.peers import (
    Address,
    dcmsend,
    free_port,
    run_tool,
    shared_data,
    storescu,
)

# Made with dcmtk from one radiograph: name, tool with options, storescu's option.
DCMTK_MADE = {
    "1.2.840.10008.1.2": (("dcmconv", "+ti"), "-xi"),
    "1.2.840.10008.1.2.1": (("dcmconv", "+te"), "-xe"),
    "1.2.840.10008.1.2.2": (("dcmconv", "+tb"), "-xb"),
    "1.2.840.10008.1.2.1.99": (("dcmconv", "+td"), ""),
    "1.2.840.10008.1.2.4.50": (("dcmcjpeg", "+eb"), "-xy"),
    "1.2.840.10008.1.2.4.51": (("dcmcjpeg", "+ee"), "-xx"),
    "1.2.840.10008.1.2.4.57": (("dcmcjpeg", "+el"), ""),
    "1.2.840.10008.1.2.4.70": (("dcmcjpeg", "+e1"), "-xs"),
    "1.2.840.10008.1.2.4.80": (("dcmcjpls", "+el"), "-xt"),
    "1.2.840.10008.1.2.4.81": (("dcmcjpls", "+en"), "-xu"),
    "1.2.840.10008.1.2.5": (("dcmcrle",), "-xr"),
}
J2K = {"1.2.840.10008.1.2.4.90": "-xv", "1.2.840.10008.1.2.4.91": "-xw"}
HTJ2K = (
    "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.4.202",
    "1.2.840.10008.1.2.4.203",
)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Node]:
    """One node for all syntaxes."""
    pacs = Address(port=free_port(), ae_title="PACS")
    node = Node(
        settings=NodeSettings(
            folder=tmp_path_factory.mktemp("syntaxes"),
            models=models,
            address=Address(port=free_port()),
            destinations=[("pacs", pacs)],
        )
    )
    with running_pacs(pacs):
        try:
            yield node.start()
        finally:
            if node.tool is not None:
                node.tool.stop(seconds=30)


def _radiograph(syntax: str) -> Dataset:
    image = make_radiograph(new_study_uid(), size=96)
    if syntax == "1.2.840.10008.1.2.4.50":  # the baseline process is 8 bit
        values = np.frombuffer(image.PixelData, "<u2") >> 4
        image.BitsAllocated = image.BitsStored = 8
        image.HighBit = 7
        image.PixelData = values.astype(np.uint8).tobytes()
    return image


def _encode(syntax: str, folder: Path) -> Path:
    """Make a radiograph in this syntax; lossy ones get a new SOP Instance UID."""
    source = save(_radiograph(syntax), folder)
    if syntax in DCMTK_MADE:
        target = folder / "encoded.dcm"
        tool, *options = DCMTK_MADE[syntax][0]
        made = run_tool(tool, *options, source, target)
        assert made.returncode == 0, made.stdout
        return target
    image = dcmread(source)
    values = np.frombuffer(image.PixelData, "<u2").reshape(image.Rows, image.Columns)
    encoded = (
        imagecodecs.htj2k_encode(values, reversible=True)
        if syntax in HTJ2K
        else imagecodecs.jpeg2k_encode(values, reversible=True, codecformat="j2k")
    )
    image.PixelData = encapsulate([bytes(encoded)])
    image["PixelData"].is_undefined_length = True
    image.file_meta.TransferSyntaxUID = UID(syntax)
    image.SOPInstanceUID = generate_uid(prefix=None)
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    return save(image, folder)


def _assert_stored_and_reported(node: Node, file: Path, outcomes: set[str]) -> None:
    """The node has the file's pixels and syntax as sent, and has answered."""
    sent = dcmread(file)
    found = node.wait_settled(sent.StudyInstanceUID)[sent.StudyInstanceUID]
    assert found["state"] == "ROUTED"
    assert found["jobs"][-1]["outcome"] in outcomes, found
    # Between uncompressed syntaxes dcmtk's tools convert as they like, so the object
    # may be there in a second one; it must be there as the file has it.
    syntax = sent.file_meta.TransferSyntaxUID
    stored = [
        image
        for path in (node.data_dir / "instances").rglob("*")
        if path.is_file()
        and (image := dcmread(path, force=True)).SOPInstanceUID == sent.SOPInstanceUID
        and image.file_meta.TransferSyntaxUID == syntax
    ]
    assert len(stored) == 1
    assert stored[0].PixelData == sent.PixelData


@pytest.mark.parametrize("syntax", [*DCMTK_MADE, *J2K])
def test_dcmsend_and_storescu_send_every_syntax_that_dcmtk_knows(
    syntax: str, node: Node, tmp_path: Path
) -> None:
    file = _encode(syntax, tmp_path)
    assert str(dcmread(file).file_meta.TransferSyntaxUID) == syntax
    sent = dcmsend(node.address, [file])
    assert sent.returncode == 0, sent.stdout
    option = J2K.get(syntax) or DCMTK_MADE[syntax][1]
    if option:  # storescu cannot propose .57 and .99
        again = storescu(node.address, [file], options=[option])
        assert again.returncode == 0, again.stdout
    _assert_stored_and_reported(node, file, {"present"})


@pytest.mark.parametrize("syntax", HTJ2K)
def test_pynetdicom_sends_htj2k(syntax: str, node: Node, tmp_path: Path) -> None:
    file = _encode(syntax, tmp_path)
    _send_with_pynetdicom(node, file)
    _assert_stored_and_reported(node, file, {"present"})


REAL = (
    "big_endian/SC_rgb_expb.dcm",
    "colour/JPGLosslessP14SV1_1s_1f_8b.dcm",
    "colour/US1_J2KI.dcm",
    "cr/RG1_J2KI.dcm",
    "enhanced/emri_small_jpeg_2k_lossless.dcm",
    "enhanced/emri_small_RLE.dcm",
    "mg/*.dcm",
    "mr_transfer_syntaxes/7.dcm",
    "mr_transfer_syntaxes/8.dcm",
    "nm/JPEG-LL.dcm",
    "pt/GH184.dcm",
    "palette/*.dcm",
    "us_multiframe/IM00001.fragmented_no_bot_jpeg_baseline.50.dcm",
)


@pytest.mark.filterwarnings("ignore")  # some of these files are not quite legal
@pytest.mark.parametrize("pattern", REAL)
def test_real_files_in_their_own_syntax_are_stored_as_sent_and_answered(
    pattern: str, node: Node, tmp_path: Path
) -> None:
    real = sorted(shared_data("dicom").glob(pattern))[0]
    image = dcmread(real)
    image.StudyInstanceUID = new_study_uid()  # each in a study of its own
    image.SOPInstanceUID = generate_uid(prefix=None)
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    file = tmp_path / "real.dcm"
    image.save_as(file)
    big_endian = image.file_meta.TransferSyntaxUID == ExplicitVRBigEndian
    sent = (
        storescu(node.address, [file], options=["-xb"])
        if big_endian  # dcmsend would convert it
        else dcmsend(node.address, [file])
    )
    assert sent.returncode == 0, sent.stdout
    # Some are legal to store and impossible to look at; the node then says so.
    _assert_stored_and_reported(node, file, {"present", "not_evaluated"})


def test_a_whole_series_of_one_slice_in_nine_syntaxes_is_taken(node: Node) -> None:
    files = sorted(shared_data("dicom", "mr_transfer_syntaxes").glob("*.dcm"))
    sent = dcmsend(node.address, files)
    assert sent.returncode == 0, sent.stdout
    kept = stored_digests(node.data_dir / "instances")
    assert {str(dcmread(file).SOPInstanceUID) for file in files} <= kept.keys()


def test_video_is_refused_at_negotiation(node: Node) -> None:
    entity = AE(ae_title="VIDEO")
    entity.add_requested_context(
        "1.2.840.10008.5.1.4.1.1.77.1.1.1", ["1.2.840.10008.1.2.4.102"]
    )
    association = entity.associate(
        node.address.host, node.address.port, ae_title=node.address.ae_title
    )
    accepted = list(association.accepted_contexts)
    if association.is_established:
        association.abort()
    assert accepted == []
    shown = node.cli("show", "--associations", "--json")
    assert shown.returncode == 0, shown.stderr
    assert "VIDEO" in shown.stdout
    assert "1.2.840.10008.1.2.4.102" in shown.stdout


def _send_with_pynetdicom(node: Node, file: Path) -> None:
    image = dcmread(file)
    entity = AE(ae_title="PYNETDICOM")
    entity.add_requested_context(image.SOPClassUID, image.file_meta.TransferSyntaxUID)
    association = entity.associate(
        node.address.host, node.address.port, ae_title=node.address.ae_title
    )
    assert association.is_established
    status = association.send_c_store(image)
    association.release()
    assert status.Status == 0x0000
