"""Frames that are resized together, beside each of them alone."""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.api import InputSpec
from inference.pixels.fused import normalise, resize_frame
from inference.pixels.grouped import resize_frames
from inference.pixels.raw import RawFrame
from inference.pixels.recipe import READY, Curve, Ramp, Recipe, Sigmoid, Table

CURVES = (
    Ramp(black=864.0, white=1263.0),
    Ramp(black=3000.0, white=-20.5),
    Ramp(black=29000.0, white=29100.0),
    Sigmoid(centre=1000.0, steepness=0.01),
)


def values(shape: tuple[int, ...], seed: int, kind: str = "u2") -> npt.NDArray[Any]:
    return np.random.default_rng(seed).integers(0, 3000, shape).astype(kind)


def assert_same_bits(frames: list[RawFrame], spec: InputSpec) -> None:
    together = resize_frames(frames, spec)
    alone = [resize_frame(frame, spec) for frame in frames]
    for one, other in zip(together, alone, strict=True):
        assert torch.equal(one.planes, other.planes)
        assert (one.place, one.curves) == (other.place, other.curves)
    rows = [normalise([one], spec)[0] for one in alone]
    assert torch.equal(normalise(together, spec), torch.stack(rows))


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(2, 6),
    shape=st.tuples(st.integers(1, 260), st.integers(1, 260)),
    curve=st.sampled_from(CURVES),
    padding=st.sampled_from((None, (0, 0), (5, 900))),
    resize=st.sampled_from(("stretch", "fit", "crop")),
)
def test_frames_that_are_alike_keep_every_bit_when_they_are_resized_together(
    count: int,
    shape: tuple[int, int],
    curve: Curve,
    padding: tuple[int, int] | None,
    resize: Literal["stretch", "fit", "crop"],
) -> None:
    recipe = Recipe(curves=(curve,), padding=padding)
    frames = [
        RawFrame(stored=values(shape, seed), recipe=recipe, windowing="")
        for seed in range(count)
    ]
    assert_same_bits(frames, InputSpec(size=(97, 120), resize=resize))


def test_what_cannot_be_resized_together_keeps_its_place_in_the_order() -> None:
    ramp = Recipe(curves=(CURVES[0],))
    table = Recipe(
        curves=(Table(entries=np.linspace(0, 1, 1 << 16, dtype=np.float32)),)
    )
    three = Recipe(curves=(CURVES[0], CURVES[1], CURVES[3]))
    shown = np.random.default_rng(1).random((1, 70, 50)).astype(np.float32)
    plan: list[tuple[npt.NDArray[Any], Recipe]] = [
        (values((64, 80), 0), ramp),
        (values((64, 80), 1), table),
        (values((64, 80), 2, "i2"), ramp),
        (values((64, 80), 3), ramp),
        (shown, READY),
        (values((64, 80), 4), Recipe(curves=(CURVES[1],))),
        (values((40, 30, 3), 5, "u1"), Recipe(curves=(Ramp(black=0.0, white=255.0),))),
        (values((64, 80), 6), three),
        (values((64, 81), 7), ramp),
        (values((64, 80), 8), table),
    ]
    frames = [
        RawFrame(stored=stored, recipe=recipe, windowing="") for stored, recipe in plan
    ]
    assert_same_bits(frames, InputSpec(size=(48, 48), resize="fit"))


def test_full_frames_of_a_series_keep_every_bit_when_they_share_a_batch() -> None:
    recipe = Recipe(curves=(CURVES[0],))
    frames = [
        RawFrame(stored=values((512, 512), seed), recipe=recipe, windowing="")
        for seed in range(4)
    ]
    assert_same_bits(frames, InputSpec(size=(224, 224)))
