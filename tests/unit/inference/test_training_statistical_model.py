"""The demo's statistical model: what it keeps and what it cannot give back."""

import numpy as np
import pytest

from inference.training.statistical_model import (
    Components,
    draw_coefficients,
    fit_components,
    project,
)

COUNT, SIDE = 3, 12


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Mixtures of three patterns around a grey level."""
    generator = np.random.default_rng(0)
    patterns = generator.normal(0, 1, (COUNT, SIDE, SIDE))
    weights = generator.normal(0, [20, 10, 5], (200, COUNT))
    mixed = 120 + np.tensordot(weights, patterns, axes=1)
    return mixed.astype(np.float32)


@pytest.fixture(scope="module")
def components(images: np.ndarray) -> Components:
    return fit_components(images, COUNT)


def test_components_in_eight_bits_span_the_images(
    components: Components, images: np.ndarray
) -> None:
    assert components.values.dtype == np.int8
    coefficients = project(components, images)
    drawn = np.stack([components.draw(row)[0] for row in coefficients]) * 255
    assert np.abs(drawn - np.clip(images, 0, 255)).mean() < 1.0


def test_coefficients_have_unit_variance(
    components: Components, images: np.ndarray
) -> None:
    assert project(components, images).std(0) == pytest.approx(np.ones(COUNT), abs=0.05)


def test_a_draw_follows_from_its_number_and_is_no_image_of_the_data(
    components: Components, images: np.ndarray
) -> None:
    coefficients = project(components, images)
    first, again, second = (
        draw_coefficients(coefficients, number) for number in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)
    assert np.abs(coefficients - first).max(1).min() > 1e-3


def test_a_picture_is_grey_between_black_and_white(components: Components) -> None:
    picture = components.draw(np.full(COUNT, 100, dtype=np.float32))
    assert picture.shape == (1, SIDE, SIDE)
    assert picture.dtype == np.float32
    assert picture.min() >= 0
    assert picture.max() <= 1
