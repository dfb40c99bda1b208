"""Where FHIR messages are written and held against FHIR's own rules."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fhir.resources.R4B.bundle import Bundle

from config.destinations import DestinationTable
from dicom_node.core.types import InputFile, Report
from dicom_node.core.writing import Result
from dicom_node.store.files import FileStore
from dicom_node.worklist.fhir import FHIRWriter
from tests.unit.worklist import results
from tests.unit.worklist.fhir_rules import faults_of


@dataclass(slots=True)
class Desk:
    """Where the messages of a test are written and kept."""

    folder: Path
    table: DestinationTable = field(
        default_factory=lambda: DestinationTable(
            name="ehr", kind="fhir", url="https://ehr.example/fhir"
        )
    )

    def image(self, **attributes: Any) -> InputFile:
        """Write the study's image."""
        return results.image_file(self.folder, **attributes)

    def write(
        self, result: Result, earlier: Report | None = None
    ) -> tuple[Report, dict[str, Any]] | None:
        """Write a message, and hold it against FHIR's rules."""
        store = FileStore(self.folder / "reports", min_free_bytes=0)
        writer = FHIRWriter(destinations={"ehr": self.table}, reports=store)
        made = writer.write(result, destination="ehr", earlier=earlier)
        if made is None:
            return None
        report, content = made
        bundle = json.loads(content)
        assert faults_of(bundle) == []
        Bundle.model_validate_json(content)
        return replace(report, file_key=store.put(content)), bundle

    def bundle(self, result: Result, earlier: Report | None = None) -> dict[str, Any]:
        """Write a message that is there."""
        made = self.write(result, earlier)
        assert made is not None
        return made[1]


def of_kind(bundle: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """Return the resources of a kind."""
    return [
        entry["resource"]
        for entry in bundle["entry"]
        if entry["resource"]["resourceType"] == kind
    ]


def only(bundle: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return the one resource of a kind."""
    (found,) = of_kind(bundle, kind)
    return found


def code_of(concept: dict[str, Any]) -> tuple[str | None, str]:
    """Return system and code of a concept with one coding."""
    (coding,) = concept["coding"]
    return coding.get("system"), coding["code"]
