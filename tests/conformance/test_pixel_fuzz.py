"""Mutated codestreams end as an image or with a reason, never with the process."""

import pytest

from tests.conformance.pixel_fuzz import SEEDS, fuzz


@pytest.mark.parametrize("name", list(SEEDS))
def test_a_mutated_codestream_is_an_image_or_refused(name: str) -> None:
    ends = fuzz(name, seed=11, count=60)
    assert sum(ends.values()) == 60
    assert {end for end in ends if end != "image"} == {
        end for end in ends if end.startswith("refused: ")
    }
