"""Identifiers: what the standard calls a UID, and how this node derives one."""

import hashlib
import uuid
from collections.abc import Iterable
from typing import NewType

StudyInstanceUID = NewType("StudyInstanceUID", str)
SeriesInstanceUID = NewType("SeriesInstanceUID", str)
SOPInstanceUID = NewType("SOPInstanceUID", str)
SOPClassUID = NewType("SOPClassUID", str)
TransferSyntaxUID = NewType("TransferSyntaxUID", str)
DeviceUID = NewType("DeviceUID", str)

InstanceId = NewType("InstanceId", int)
StudyId = NewType("StudyId", int)
JobId = NewType("JobId", int)
ReportId = NewType("ReportId", int)
DeliveryId = NewType("DeliveryId", int)

# The namespace is part of every derived UID: it never changes.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:dicom-node")


def derive_uid(*parts: str) -> str:
    """Make the UID that these parts always give, on every machine and every retry.

    Source: PS3.5 B.2 (a UUID under the root 2.25).
    """
    return f"2.25.{uuid.uuid5(_NAMESPACE, '|'.join(parts)).int}"


def derive_device_uid(model: str, version: str, weights_sha256: str) -> DeviceUID:
    """Make the Device UID of a model: other weights are another device.

    Source: IHE AIR 6.5.3.1.
    """
    return DeviceUID(derive_uid("device", model, version, weights_sha256))


def digest_inputs(sop_instance_uids: Iterable[str]) -> str:
    """Digest the set of instances a study revision consists of, in any order."""
    joined = "\n".join(sorted(sop_instance_uids))
    return hashlib.sha256(joined.encode("ascii", "replace")).hexdigest()
