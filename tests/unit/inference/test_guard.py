"""A decoder that hangs or dies costs its image and no other."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pydicom.uid import JPEG2000Lossless

from inference.api import InputSpec
from inference.guard.guard import DecodeGuard
from inference.guard.trials import Candidate
from inference.pixels import faults
from inference.pixels.layout import PixelLimits
from tests.peers import PROJECT
from tests.unit.pixels.images import write_image

BAD_ROWS = 37
SIGNALS = {
    "decode-kill": signal.SIGKILL,
    "decode-crash": signal.SIGSEGV,
    "decode-hold": signal.SIGALRM,  # no thread of the process gets to run
    "decode-wait": signal.SIGKILL,
}


@pytest.fixture
def study(tmp_path: Path) -> list[Path]:
    """Five images, of which the third has as many rows as the fault wants."""
    images = []
    for number in range(1, 6):
        rows = BAD_ROWS if number == 3 else 16
        pixels = np.full((rows, 16), number, np.uint16)
        code = imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k")
        images.append(
            write_image(
                tmp_path / f"image-{number}",
                pixels,
                frames=[bytes(code)],
                syntax=JPEG2000Lossless,
            )
        )
    return images


def _work(
    folder: Path, images: list[Path], fault: str = "", seconds: float = 30.0
) -> subprocess.CompletedProcess[str]:
    where = [str(folder / "guard"), fault, str(seconds), *map(str, images)]
    return subprocess.run(
        [sys.executable, "-m", "tests.unit.inference.guarded", *where],
        capture_output=True,
        text=True,
        timeout=90,
        cwd=PROJECT,
        check=False,
    )


def _answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr[-2000:]
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize(
    ("point", "reason"),
    [
        ("decode-kill", "decoding ended the process (SIGKILL)"),
        ("decode-crash", "decoding ended the process (SIGSEGV)"),
        ("decode-hold", "decoding did not end within 1 s"),
        ("decode-wait", "decoding did not end within 1 s"),
    ],
)
def test_an_image_that_ends_the_process_is_refused_by_the_next_and_the_others_decoded(
    point: str, reason: str, study: list[Path], tmp_path: Path
) -> None:
    fault = f"{point}:{BAD_ROWS}"
    seconds = 1.0 if reason.endswith("1 s") else 30.0
    died = _work(tmp_path, study, fault, seconds)
    assert died.returncode == -SIGNALS[point], died.stderr[-2000:]
    others = [path.name for path in study if path != study[2]]
    for _ in range(2):
        answer = _answer(_work(tmp_path, study, fault, seconds))
        assert answer["decoded"] == others
        codec = "JPEG 2000 Image Compression (Lossless Only)"
        assert answer["refused"] == {study[2].name: f"{codec}: {reason}"}


def test_an_image_that_ended_a_process_is_not_decoded_again_by_later_ones(
    study: list[Path], tmp_path: Path
) -> None:
    _work(tmp_path, study, f"decode-crash:{BAD_ROWS}")
    refused = _answer(_work(tmp_path, study, f"decode-crash:{BAD_ROWS}"))["refused"]
    unarmed = _answer(_work(tmp_path, study))
    assert refused
    assert unarmed["refused"] == refused, "with the same codecs and the same limit"
    later = _answer(_work(tmp_path, study, seconds=31.0))
    assert later["refused"] == {}, "another limit is another chance"


def test_what_was_decoded_reduced_is_tried_anew_before_it_is_decoded_whole(
    study: list[Path], tmp_path: Path
) -> None:
    fault = f"decode-crash:{BAD_ROWS}"  # in a whole decode alone
    _work(tmp_path, study, fault)
    faults.arm(fault)
    guard = DecodeGuard(tmp_path / "guard", PixelLimits())
    try:
        image = Candidate(path=study[2], frames=(1,))
        small, whole = (
            InputSpec(size=(8, 8), reduced_decode=reduced) for reduced in (True, False)
        )
        with guard.study([image], small) as refused:
            assert refused == {}
        with guard.study([image], whole) as refused:
            assert refused[study[2]].endswith("ended the process (SIGSEGV)")
    finally:
        guard.close()
        faults.arm("decode-crash:0")


def test_a_process_that_was_killed_from_outside_costs_no_image(
    study: list[Path], tmp_path: Path
) -> None:
    died = _work(tmp_path, study, f"decode-kill:{BAD_ROWS}")
    assert died.returncode == -signal.SIGKILL
    answer = _answer(_work(tmp_path, study))
    assert answer["refused"] == {}
    assert answer["decoded"] == [path.name for path in study]


def test_every_bad_image_of_a_study_is_found_after_one_death(
    study: list[Path], tmp_path: Path
) -> None:
    bad = [study[2]]
    for number in (8, 9):
        pixels = np.full((BAD_ROWS, 16), number, np.uint16)
        bad.append(write_image(tmp_path / f"image-{number}", pixels))
    images = [*study, *bad[1:]]
    fault = f"decode-crash:{BAD_ROWS}"
    assert _work(tmp_path, images, fault).returncode == -signal.SIGSEGV
    answer = _answer(_work(tmp_path, images, fault))
    assert sorted(answer["refused"]) == sorted(path.name for path in bad)


def test_a_decoder_that_wants_too_much_memory_is_refused_where_it_is_tried(
    study: list[Path], tmp_path: Path
) -> None:
    _work(tmp_path, study, f"decode-crash:{BAD_ROWS}")
    answer = _answer(_work(tmp_path, study, f"decode-hoard:{BAD_ROWS}"))
    [reason] = answer["refused"].values()
    assert reason.endswith("decoding needs more memory than max_frame_bytes allows")


def test_what_is_kept_of_images_does_not_tell_their_names(
    study: list[Path], tmp_path: Path
) -> None:
    _work(tmp_path, study, f"decode-crash:{BAD_ROWS}")
    _answer(_work(tmp_path, study, f"decode-crash:{BAD_ROWS}"))
    kept = [path for path in (tmp_path / "guard").iterdir() if path.is_file()]
    assert {path.name for path in kept} == {"suspects", "refused"}
    assert not any(b"image-" in path.read_bytes() for path in kept)


def test_a_trial_that_hangs_and_that_nobody_listens_to_ends_by_itself(
    study: list[Path],
) -> None:
    job = {
        "fault": f"decode-hold:{BAD_ROWS}",
        "limits": {"frame_seconds": 0.5},
        "reduced": None,
        "images": [{"path": str(study[2]), "frames": [1]}],
    }
    done = subprocess.run(
        [sys.executable, "-m", "inference.guard.trial"],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        timeout=90,
        cwd=PROJECT,
        check=False,
    )
    assert done.returncode == -signal.SIGALRM
    assert done.stdout.splitlines()[0] == "ready"
