"""A node's folder with a study that was received, inferred on and reported."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from config.load import load
from config.settings import Settings
from db import schema, work
from db.engine import Database
from dicom_node import app, pipeline
from dicom_node.core.clock import SystemClock
from dicom_node.core.errors import NodeError
from dicom_node.core.ids import StudyId
from dicom_node.core.states import Outcome
from dicom_node.part10.digest import dataset_digest, name_digest
from dicom_node.part10.head import file_head
from dicom_node.receive.compare import FileCompare
from dicom_node.receive.options import ReceiveOptions
from dicom_node.receive.stored import read_stored
from dicom_node.store.instances import InstanceFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptNode:
    """What the commands of a test find on disk."""

    configuration: Path

    @property
    def settings(self) -> Settings:
        """The settings as a command reads them."""
        return load(self.configuration).settings

    @property
    def files(self) -> list[Path]:
        """The stored instances, in no order."""
        return sorted(self.settings.instances_dir.rglob("*.dcm"))


def keep_study(configuration: Path, images: Sequence[Dataset]) -> Outcome:
    """Receive images of one study into a new node, route it and run its only job."""
    settings = load(configuration).settings
    settings.instances_dir.mkdir(parents=True, exist_ok=True)
    schema.create_if_new(settings.database.url)
    database = Database(settings.database.url)
    study_id = [_receive(settings, database, image) for image in images][-1]
    clock = SystemClock()
    pipeline.on_quiet_study(database, study_id, app.build_router(settings), clock)
    job = work.claim_job(database, owner="test", now=clock.now(), lease_seconds=60)
    if job is None:
        raise RuntimeError("no route took the study")
    parts = app.build_work(settings, database)
    outcome = pipeline.on_job(parts, job)
    parts.executor.close()
    database.close()
    return outcome


def _receive(settings: Settings, database: Database, image: Dataset) -> StudyId:
    files = InstanceFiles(settings.instances_dir)
    limits = ReceiveOptions.from_settings(settings).scan
    head = file_head(
        str(image.SOPClassUID),
        str(image.SOPInstanceUID),
        transfer_syntax_uid=str(image.file_meta.TransferSyntaxUID),
        source_ae_title="MODALITY",
    )
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, False
    write_dataset(stream, image)
    content = stream.getvalue()
    digest = dataset_digest()
    digest.update(content)
    key = files.new_key(name_digest(head, digest.digest()))
    part = files.begin()
    part.write([head, content])
    part.publish(key)
    part.release()
    received = read_stored(
        key,
        files.path(key),
        called_ae_title=settings.node.ae_title,
        limits=limits,
    )
    (recorded,) = pipeline.on_instances(
        database, (received,), compare=FileCompare(files.path, limits)
    )
    if isinstance(recorded, NodeError):
        raise recorded
    return recorded.study_id
