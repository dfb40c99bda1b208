"""What a [[destinations]] table may say, by kind."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from config.destinations import DestinationTable

ADDRESS: dict[str, dict[str, object]] = {
    "dicom": {"ae_title": "PACS", "host": "pacs.example", "port": 104},
    "stow": {"url": "https://pacs.example/dicom-web"},
    "folder": {"folder": "outbox"},
    "hl7": {"host": "ris.example", "port": 2575},
    "fhir": {"url": "https://ehr.example/fhir"},
    "webhook": {"url": "https://hook.example/", "secret_file": "secret"},
}


def _table(kind: str, **more: object) -> DestinationTable:
    return DestinationTable.model_validate(
        {"name": "it", "kind": kind, **ADDRESS[kind], **more}
    )


@pytest.mark.parametrize("kind", ADDRESS)
def test_an_address_is_all_that_a_destination_needs(kind: str) -> None:
    table = _table(kind)
    assert table.kind == kind
    assert table.objects == ("sr", "sc")
    assert table.commitment == "off"


@pytest.mark.parametrize(
    ("kind", "key"), [(kind, key) for kind, keys in ADDRESS.items() for key in keys]
)
def test_an_address_that_lacks_a_part_is_refused(kind: str, key: str) -> None:
    values: dict[str, object] = {"name": "it", "kind": kind, **ADDRESS[kind]}
    del values[key]
    with pytest.raises(ValidationError, match=f"kind '{kind}' needs .*{key}"):
        DestinationTable.model_validate(values)


@pytest.mark.parametrize(
    ("kind", "more", "said"),
    [
        ("hl7", {"objects": ["sc"]}, "objects is for kind 'dicom', 'folder' and"),
        ("folder", {"tls": True}, "tls is for kind 'dicom' and 'hl7'"),
        ("folder", {"commitment": "required"}, "commitment is for kind 'dicom'"),
        ("dicom", {"url": "https://a"}, "url is for kind"),
        ("dicom", {"ack_seconds": 3}, "ack_seconds is for kind 'hl7'"),
        ("dicom", {"read_back": "qido"}, "read_back 'qido' is for kind 'stow'"),
        ("stow", {"read_back": "c-find"}, "read_back 'c-find' is for kind 'dicom'"),
        ("dicom", {"ca": "ca.pem"}, "need tls = true"),
        ("stow", {"certificate": "a.pem"}, "certificate and private_key go together"),
        ("stow", {"url": "http://a/", "ca": "ca.pem"}, "or an https url"),
        ("dicom", {"objects": []}, "at least one"),
        ("dicom", {"objects": ["sr", "sr"]}, "once"),
        ("dicom", {"objects": ["seg"]}, "Input should be 'sr', 'sc' or 'kos'"),
        ("dicom", {"commitment_seconds": 0}, "greater than 0"),
        ("dicom", {"commitment_requests": 0}, "greater than or equal to 1"),
        ("fhir", {"username": "me"}, "username and passcode_file go together"),
        ("stow", {"url": "pacs.example/dicom-web"}, "url is written https"),
        ("stow", {"url": "ftp://pacs.example/"}, "url is written https"),
        ("stow", {"url": "https://pacs.example:x/"}, "url is not one"),
        ("stow", {"url": "https://me:it@pacs.example/"}, "url holds a user"),
        ("stow", {"url": "https://pacs.example/?a=b"}, "url takes no"),
    ],
)
def test_a_setting_that_does_not_fit_is_refused_with_the_reason(
    kind: str, more: dict[str, object], said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        _table(kind, **more)


def test_credentials_leave_this_machine_over_https_only(tmp_path: Path) -> None:
    token = tmp_path / "token"
    with pytest.raises(ValidationError, match="over https only"):
        _table("fhir", url="http://ehr.example/fhir", token_file=token)
    assert _table("fhir", url="https://ehr.example/fhir", token_file=token)
    assert _table("fhir", url="http://127.0.0.1:8080/fhir", token_file=token)


def test_a_token_and_a_username_exclude_one_another(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="exclude one another"):
        _table(
            "stow",
            token_file=tmp_path / "token",
            username="me",
            passcode_file=tmp_path / "passcode",
        )


def test_the_uri_of_an_issuers_identifiers_is_one() -> None:
    systems = {"HOSP": "urn:oid:1.2.3", "": "https://hosp.example/mrn"}
    assert _table("fhir", patient_id_systems=systems).patient_id_systems == systems
    with pytest.raises(ValidationError, match="accession_systems"):
        _table("fhir", accession_systems={"": "1.2.3"})
    with pytest.raises(ValidationError, match="is for kind 'fhir'"):
        _table("hl7", patient_id_systems=systems)
    with pytest.raises(ValidationError, match="is for kind 'webhook'"):
        _table("fhir", patient_identity=True)
