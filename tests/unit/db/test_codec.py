"""Documents: what goes in comes out, whatever the text."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import sqlite

from db.codec import (
    decode_header,
    decode_prediction,
    encode_header,
    encode_prediction,
    header_text,
)
from db.columns import Document, clean
from dicom_node.core.ids import SOPInstanceUID
from dicom_node.core.provenance import InputDigest, Machinery, Provenance
from dicom_node.core.types import RoutingHeader
from tests.integration.db import samples

TEXT = st.text(alphabet=st.characters(), max_size=40)


@settings(max_examples=40, derandomize=True, deadline=None)
@given(TEXT)
def test_clean_text_can_be_stored_by_every_engine(text: str) -> None:
    cleaned = clean(text)
    assert "\x00" not in cleaned
    assert cleaned.encode("utf-8").decode("utf-8") == cleaned
    assert clean(cleaned) == cleaned


def test_only_what_cannot_be_stored_is_changed() -> None:
    text = "흉부 胸部 \x1b[31m é"
    assert clean(text) == text
    assert clean("a\x00b\ud800c") == "ab?c"
    assert clean("x" * 2000, 10) == "x" * 10


headers = st.builds(
    RoutingHeader,
    modality=st.text(max_size=16),
    patient_age_years=st.none() | st.floats(0, 150),
    image_type=st.lists(st.text(max_size=16), max_size=6).map(tuple),
    instance_number=st.none() | st.integers(-(2**40), 2**40),
    number_of_frames=st.integers(0, 10**6),
    has_pixels=st.booleans(),
)


@settings(max_examples=40, derandomize=True, deadline=None)
@given(headers)
def test_a_header_survives_the_database(header: RoutingHeader) -> None:
    stored = json.loads(json.dumps(encode_header(header)))
    assert decode_header(stored) == header


# Texts that a column must clean, headers of one series, and whole alphabets.
any_headers = st.builds(
    RoutingHeader,
    modality=TEXT,
    study_description=st.sampled_from(("", "a\x00b", "\ud800", "흉부", "\\u0000", '"')),
    patient_age_years=st.sampled_from((None, 3.5, float("nan"), float("inf"))),
    image_type=st.sampled_from(((), ("A", "B\x00"), ("X" * 5000,), ("Y",) * 300)),
    instance_number=st.none() | st.integers(-(2**70), 2**70),
    has_pixels=st.booleans(),
)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(any_headers)
def test_the_short_way_writes_the_header_as_the_column_does(
    header: RoutingHeader,
) -> None:
    column = Document().process_bind_param(encode_header(header), sqlite.dialect())
    assert json.loads(header_text(header)) == json.loads(json.dumps(column))
    assert decode_header(json.loads(header_text(header))) == decode_header(column)


def test_a_header_that_a_newer_version_wrote_still_reads() -> None:
    stored = {**encode_header(RoutingHeader(modality="DX")), "laterality": "L"}
    assert decode_header(stored) == RoutingHeader(modality="DX")


def test_a_prediction_survives_the_database() -> None:
    prediction = samples.prediction(reason="one image could not be evaluated")
    stored = json.loads(json.dumps(encode_prediction(prediction)))
    assert decode_prediction(stored) == prediction
    assert decode_prediction(stored).started_at == datetime(
        2026, 3, 1, 12, 0, tzinfo=UTC
    )


def test_what_a_prediction_was_made_with_survives_the_database() -> None:
    made_with = Provenance(
        weights_sha256="0a" * 32,
        card_sha256="0b" * 32,
        code_version="0.2.0",
        code_sha256="0c" * 32,
        preprocessing_sha256="0d" * 32,
        settings=(("input.size", "[224,224]"),),
        inputs=(
            InputDigest(
                sop_instance_uid=SOPInstanceUID("1.2.3.1.1"), dataset_digest="0e" * 16
            ),
        ),
        machinery=Machinery(
            engine="eager", precision="fp32", threads=2, libraries=(("torch", "2.9"),)
        ),
    )
    prediction = replace(samples.prediction(), provenance=made_with)
    stored = json.loads(json.dumps(encode_prediction(prediction)))
    assert decode_prediction(stored) == prediction
    del stored["provenance"]  # as version 0.1 wrote it
    assert decode_prediction(stored).provenance is None


def test_a_provenance_that_a_newer_version_wrote_still_reads() -> None:
    made_with = Provenance(
        weights_sha256="",
        card_sha256="",
        code_version="",
        code_sha256="",
        preprocessing_sha256="",
        settings=(),
        inputs=(),
    )
    prediction = replace(samples.prediction(), provenance=made_with)
    stored = encode_prediction(prediction)
    stored["provenance"]["signature"] = "later"
    stored["provenance"]["machinery"]["compiler"] = "later"
    assert decode_prediction(stored) == prediction


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_not_finite_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Document().process_bind_param({"scores": [number]}, sqlite.dialect())
