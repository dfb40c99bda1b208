"""A decoder that dies or hangs over the summary picture costs its image alone."""

import signal
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from tests.peers import PROJECT
from tests.unit.report.pictures import write_picture

ROWS = 37
DRAW = """
import sys
from pathlib import Path
from dicom_node.report.summary_image import Decoding
from inference.guard.guard import DecodeGuard
from inference.pixels import faults
from inference.pixels.frames import PixelLimits
from tests.unit.report.examples import input_file, prediction_for
from tests.unit.report.pictures import result_of, write_summary
source, folder, fault, made = sys.argv[1:]
faults.arm(fault)
file = input_file(Path(source))
limits = PixelLimits(frame_seconds=2.0)
guard = DecodeGuard(Path(folder), limits)
result = result_of([file], prediction_for([file]))
_, content = write_summary(result, decoding=Decoding(limits=limits, guard=guard))
guard.close()
Path(made).write_bytes(content)
"""


@pytest.mark.parametrize(
    ("point", "end"),
    [("decode-crash", signal.SIGSEGV), ("decode-wait", signal.SIGKILL)],
)
def test_an_image_that_ends_a_process_is_left_out_of_the_picture_by_the_next(
    point: str, end: signal.Signals, tmp_path: Path
) -> None:
    source = write_picture(tmp_path / "a.dcm", np.zeros((ROWS, 16), np.uint8))
    made = tmp_path / "made.dcm"

    def draw() -> int:
        names = [source.path, tmp_path / "guard", f"{point}:{ROWS}", made]
        command = [sys.executable, "-c", DRAW, *map(str, names)]
        return subprocess.run(
            command, check=False, cwd=PROJECT, timeout=90, stderr=subprocess.DEVNULL
        ).returncode

    assert draw() == -end
    assert draw() == 0
    written = dcmread(BytesIO(made.read_bytes()))
    assert "SourceImageSequence" not in written, "no image is shown"
    assert np.unique(written.pixel_array).size > 1, "what the result says is"
