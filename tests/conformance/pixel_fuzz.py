"""Decode mutated codestreams in a process of its own, and say how each one ends.

    python -m tests.conformance.pixel_fuzz jpeg2k --count 5000 --seed 1

A case is decoded the way the node does it: a file, opened and decoded within limits of
memory and time. It may end as an image or as a PixelError; anything else is printed:
another exception, memory, a signal, or no end at all.
"""

import argparse
import json
import random
import resource
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

ADDRESS_SPACE = 4 << 30  # of the decoding process, its libraries included
CASE_SECONDS = 20.0
ROWS, COLUMNS = 48, 40

Samples = npt.NDArray[Any]


def grey(bits: int) -> Samples:
    """Make a ramp with noise: short to code, yet nothing in it is empty."""
    noise = np.random.default_rng(bits).integers(0, 1 << (bits - 2), (ROWS, COLUMNS))
    ramp = np.linspace(0, (1 << bits) * 0.7, ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    return (ramp + noise).astype(np.uint8 if bits == 8 else np.uint16)


def colour() -> Samples:
    """Make an RGB image of 8 bits."""
    one = grey(8)
    return np.stack([one, one[::-1], one[:, ::-1]], -1).copy()


def tiled() -> bytes:
    """Code colour in JPEG 2000 tiles of 16 x 16, as only Pillow can."""
    target = BytesIO()
    image = Image.fromarray(colour())
    image.save(target, "JPEG2000", no_jp2=True, tile_size=(16, 16), mct=1)
    return target.getvalue()


def rle(image: Samples) -> bytes:
    """Code an image of 16 bits in two segments (PS3.5 Annex G)."""
    segments = [
        bytes(imagecodecs.packbits_encode(part.astype(np.uint8).tobytes()))
        for part in (image >> 8, image & 255)
    ]
    padded = [segment + b"\0" * (len(segment) % 2) for segment in segments]
    header = struct.pack("<16I", 2, 64, 64 + len(padded[0]), *[0] * 13)
    return header + b"".join(padded)


# Name -> transfer syntax, bits, samples, and the codestream to begin with.
SEEDS: dict[str, tuple[str, int, int, Callable[[], bytes]]] = {
    "jpeg": (
        JPEGBaseline8Bit, 8, 1, lambda: bytes(imagecodecs.jpeg8_encode(grey(8)))
    ),
    "jpeg-colour": (
        JPEGBaseline8Bit, 8, 3,
        lambda: bytes(imagecodecs.jpeg8_encode(colour(), subsampling="420")),
    ),
    "jpeg-12": (
        JPEGExtended12Bit, 12, 1,
        lambda: bytes(imagecodecs.jpeg8_encode(grey(12), bitspersample=12)),
    ),
    "jpeg-lossless": (
        JPEGLossless, 16, 1,
        lambda: bytes(
            imagecodecs.jpeg8_encode(grey(16), lossless=True, bitspersample=16)
        ),
    ),
    "jpegls": (
        JPEGLSLossless, 12, 1, lambda: bytes(imagecodecs.jpegls_encode(grey(12)))
    ),
    "jpegls-colour": (
        JPEGLSLossless, 8, 3, lambda: bytes(imagecodecs.jpegls_encode(colour()))
    ),
    "jpeg2k": (
        JPEG2000, 16, 1,
        lambda: bytes(imagecodecs.jpeg2k_encode(grey(16), codecformat="J2K")),
    ),
    "jpeg2k-tiles": (JPEG2000, 8, 3, tiled),
    "htj2k": (
        HTJ2K, 16, 1,
        lambda: bytes(imagecodecs.htj2k_encode(grey(16), reversible=True)),
    ),
    "htj2k-lossy": (
        HTJ2K, 8, 1,
        lambda: bytes(imagecodecs.htj2k_encode(grey(8), reversible=False, level=0.01)),
    ),
    "rle": (RLELossless, 16, 1, lambda: rle(grey(16))),
}  # fmt: skip


def mutate(coded: bytes, chance: random.Random) -> bytes:
    """Spoil a codestream; half of the time in its first 150 bytes."""
    data = bytearray(coded)
    reach = min(150, len(data)) if chance.random() < 0.5 else len(data)
    for _ in range(chance.choice((1, 1, 2, 4, 12))):
        place = chance.randrange(min(reach, len(data)))
        kind = chance.randrange(6)
        if kind <= 1:
            data[place] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        elif kind == 2:
            data[place] ^= 1 << chance.randrange(8)
        elif kind == 3:
            del data[place : place + chance.choice((1, 2, 4, 40))]
        elif kind == 4:
            data[place:place] = data[place : place + chance.choice((1, 2, 4, 40))]
        else:
            size = chance.choice((2, 4))
            data[place : place + size] = (
                chance.choice((0, 0x7F, 0xFF)).to_bytes() * size
            )
        if len(data) < 4:
            return coded
    if chance.random() < 0.8 and data[-2:] != coded[-2:]:
        data += coded[-2:]  # otherwise every cut is refused for its missing end
    return bytes(data)


def write_case(path: Path, name: str, coded: bytes) -> None:
    """Write a file around a codestream, with a true header."""
    syntax, bits, samples, _ = SEEDS[name]
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = "1.2.3"
    dataset.Rows, dataset.Columns = ROWS, COLUMNS
    dataset.SamplesPerPixel, dataset.PixelRepresentation = samples, 0
    dataset.BitsAllocated = 8 if bits == 8 else 16
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    dataset.PhotometricInterpretation = "RGB" if samples == 3 else "MONOCHROME2"
    if samples == 3:
        dataset.PlanarConfiguration = 0
    dataset.PixelData = encapsulate([coded])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path, enforce_file_format=True)


def decode_cases(name: str, seed: int, first: int, last: int) -> None:
    """Decode cases first..last-1 in this process and print how each one ended."""
    from dicom_node.core.errors import PixelError
    from inference.pixels.decode import decode_frame
    from inference.pixels.read import open_image

    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    coded = SEEDS[name][3]()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.dcm"
        for number in range(first, last):
            write_case(path, name, mutate(coded, random.Random(f"{seed} {number}")))
            print(json.dumps({"begins": number}), flush=True)
            try:
                values = decode_frame(open_image(path), 0).values
                end = "image" if values.shape[:2] == (ROWS, COLUMNS) else "shape"
            except PixelError as error:
                end = f"refused: {error}"
            except BaseException as error:  # noqa: BLE001 - that is what is looked for
                end = f"raised: {type(error).__name__}"
            print(json.dumps({"ends": number, "how": end}), flush=True)


def fuzz(name: str, *, seed: int, count: int) -> Counter[str]:
    """Count how `count` cases end; crashes and hangs start the process anew.

    Returns:
        "image", "refused: <why>", "raised: <class>", "signal <n> in case <m>" or
        "no end in case <m>", each with its number of cases.
    """
    ends: Counter[str] = Counter()
    number = 0
    while number < count:
        for done, how in _run(name, seed, number, count):
            ends[how] += 1
            number = done + 1
    return ends


def _run(name: str, seed: int, first: int, last: int) -> Iterator[tuple[int, str]]:
    """Run one process until it has done all cases or dies of one."""
    command = [sys.executable, "-m", "tests.conformance.pixel_fuzz", name]
    span = [f"--seed={seed}", f"--first={first}", f"--count={last}", "--here"]
    process = subprocess.Popen(
        [*command, *span], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    lines: Queue[str | None] = Queue()
    follower = Thread(target=_follow, args=(process, lines), daemon=True)
    follower.start()
    current, begun = first, False
    try:
        while True:
            try:
                line = lines.get(timeout=CASE_SECONDS)
            except Empty:
                yield current, f"no end in case {current}"
                return
            if line is None:
                if not begun:
                    raise RuntimeError("the decoding process does not start")
                if process.wait() != 0:
                    yield current, f"status {process.returncode} in case {current}"
                return
            told = json.loads(line)
            current, begun = told.get("begins", current), True
            if "ends" in told:
                yield told["ends"], told["how"]
    finally:
        process.kill()
        process.wait()
        follower.join()
        if process.stdout:
            process.stdout.close()


def _follow(process: subprocess.Popen[str], lines: "Queue[str | None]") -> None:
    for line in process.stdout or ():
        lines.put(line)
    lines.put(None)


def main() -> None:
    """Fuzz one codec, or all of them, and print the table of ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=[*SEEDS, "all"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--here", action="store_true", help="decode in this process")
    options = parser.parse_args()
    if options.here:
        decode_cases(options.name, options.seed, options.first, options.count)
        return
    for name in SEEDS if options.name == "all" else [options.name]:
        began = time.monotonic()
        ends = fuzz(name, seed=options.seed, count=options.count)
        print(f"{name}: {options.count} cases, {time.monotonic() - began:.0f} s")
        for how, cases in ends.most_common():
            print(f"  {cases:6} {how}")


if __name__ == "__main__":
    main()
