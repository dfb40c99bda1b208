"""Patients are found by a whole ID or name, and only with the node's own key."""

import stat
from pathlib import Path

import pytest

from dicom_node.core.errors import ConfigError
from dicom_node.core.patient import Patient, PatientKeys


@pytest.fixture
def keys(tmp_path: Path) -> PatientKeys:
    """Return keys of a new node."""
    return PatientKeys(tmp_path / "patient.key")


def _finds_name(keys: PatientKeys, name: str, typed: str) -> bool:
    kept = {one.digest for one in keys.of_patient(Patient(name=name))}
    return bool(kept & keys.of_name(typed))


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("Doe^John", "Doe^John"),
        ("Doe^John", "john doe"),
        ("DOE^JOHN", "Doe, John"),
        ("Doe^John^Q^Dr^III", "John Doe"),
        ("Doe^John^Quincy", "John Quincy Doe"),
        ("Müller^Zoë", "Muller Zoe"),
        ("Mu\u0308ller^Zoe", "Müller Zoë"),
        ("O'Brien^Ann", "OBrien Ann"),
        ("Kim^Min-Jun", "Kim Min Jun"),
        ("Hong^Gildong=洪^吉洞=홍^길동", "홍길동"),
        ("Hong^Gildong=洪^吉洞=홍^길동", "洪吉洞"),
        ("Hong^Gildong=洪^吉洞=홍^길동", "Gildong Hong"),
        ("ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎", "ヤマダ タロウ"),
    ],
)
def test_a_name_is_found_as_people_write_it(
    keys: PatientKeys, name: str, typed: str
) -> None:
    assert _finds_name(keys, name, typed)


@pytest.mark.parametrize(
    ("name", "typed"),
    [("Doe^John", "Doe"), ("Doe^John", "Doe Jane"), ("がき^ま", "かき ま"), ("", "")],
)
def test_another_name_or_a_part_of_one_finds_nothing(
    keys: PatientKeys, name: str, typed: str
) -> None:
    assert not _finds_name(keys, name, typed)


def test_an_id_is_found_without_regard_to_case_and_padding(keys: PatientKeys) -> None:
    kept = {one.digest for one in keys.of_patient(Patient(patient_id=" ab-123 "))}
    assert keys.of_id("AB-123") <= kept
    assert not keys.of_id("AB-12") & kept
    assert keys.of_id("") == frozenset()


def test_digests_tell_nothing_without_the_key_and_differ_between_nodes(
    tmp_path: Path,
) -> None:
    patient = Patient(patient_id="AB-123", name="Doe^John")
    one = PatientKeys(tmp_path / "one.key").of_patient(patient)
    other = PatientKeys(tmp_path / "other.key").of_patient(patient)
    assert not one & other
    assert one == PatientKeys(tmp_path / "one.key").of_patient(patient)


def test_the_key_is_this_user_s_alone(tmp_path: Path) -> None:
    file = tmp_path / "patient.key"
    PatientKeys(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        PatientKeys(file)


def test_a_damaged_key_is_not_replaced(tmp_path: Path) -> None:
    file = tmp_path / "patient.key"
    file.write_bytes(b"short")
    file.chmod(0o600)
    with pytest.raises(ConfigError, match="damaged"):
        PatientKeys(file)
