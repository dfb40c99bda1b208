"""Bad images among good ones: refused with a reason, and the rest is evaluated."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydicom import Dataset
from safetensors.torch import load_file, save_file

from dicom_node.report.check import check_report
from tests.e2e.broken import broken_samples, good_sample, send_samples
from tests.e2e.bundle import write_bundle
from tests.e2e.conftest import StartNode
from tests.e2e.images import new_study_uid
from tests.e2e.node import Node, NodeSettings
from tests.e2e.pacs import StandInPacs

CANNOT_UNDERSTAND = 0xC000
FAILED = "111224"  # CID 6042
# A worker with torch and a small model takes about 450 MB.
WORKER_PEAK_KIB = 1 << 20
WORKER_SECONDS = 60.0
# What a reason must name: the attribute, or the codec.
NAMED = re.compile(r"Pixel Data|PixelData|Rows|NumberOfFrames|RLE|JPEG|Transfer Syntax")
NAN_BUNDLE = "nan"


def test_bad_images_are_refused_with_a_reason_and_the_good_ones_evaluated(
    settings: NodeSettings, start_node: StartNode, pacs: StandInPacs
) -> None:
    study = new_study_uid()
    bad = broken_samples(study)
    good = [good_sample(study, number) for number in (1, 2, 3)]
    # One of them takes a second to inflate, and more beside other tests.
    node = start_node(replace(settings, quiet_seconds=5.0))
    worker = node.pids()["work"]
    statuses = send_samples(node.address.port, [good[0], *bad, *good[1:]])
    node.wait_settled(study, seconds=WORKER_SECONDS)

    assert node.pids()["work"] == worker, "the worker lives"
    assert _peak_kib(worker) < WORKER_PEAK_KIB
    kept = [sample for sample in bad if statuses[sample.sop_instance_uid] == 0]
    refused = {statuses[one.sop_instance_uid] for one in bad if one not in kept}
    assert refused == {CANNOT_UNDERSTAND}, "at the door"
    assert len(kept) >= 8, "and these only a decoder can tell"
    images = {item["sop_instance_uid"]: item for item in _prediction(node, study)}
    assert images.keys() == {one.sop_instance_uid for one in [*good, *kept]}
    for sample in kept:
        image = images[sample.sop_instance_uid]
        assert image["scores"] == [], sample.name
        assert NAMED.search(image["error"]), (sample.name, image["error"])
    assert all(images[sample.sop_instance_uid]["scores"] for sample in good)

    [arrived] = pacs.of_study(study)
    assert check_report(arrived.dataset) == []
    left_out = _left_out(arrived.dataset)
    assert sorted(left_out) == sorted(sample.sop_instance_uid for sample in kept)
    for uid, text in left_out.items():
        assert text.startswith(tuple("123456789"))
        assert images[uid]["error"] in text
        assert f"of {len(good) + len(kept)} images" in text


def _left_out(report: Dataset) -> dict[str, str]:
    """Return the images of the groups that say Failed, each with its Comment."""
    found = {}
    for group in report.ContentSequence[-1].ContentSequence:
        items = list(group.ContentSequence)
        codes = [
            item.ConceptCodeSequence[0].CodeValue
            for item in items
            if item.ValueType == "CODE"
        ]
        if FAILED not in codes:
            continue
        assert not any(item.ValueType == "NUM" for item in items)
        [comment] = [
            item.TextValue
            for item in items
            if item.ConceptNameCodeSequence[0].CodeMeaning == "Comment"
        ]
        for item in items:
            if item.ValueType == "IMAGE":
                uid = str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
                assert uid not in found
                found[uid] = comment
    return found


def _prediction(node: Node, study: str) -> list[dict[str, Any]]:
    shown = json.loads(node.cli("show", study, "--json").stdout)
    images: list[dict[str, Any]] = shown["jobs"][0]["prediction"]["images"]
    return images


def _peak_kib(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", text)
    assert found
    return int(found.group(1))


def test_a_score_that_is_not_a_number_fails_the_job_and_nothing_is_sent(
    settings: NodeSettings,
    start_node: StartNode,
    pacs: StandInPacs,
    tmp_path: Path,
) -> None:
    models = tmp_path / "models"
    _overflow(write_bundle(models, name=NAN_BUNDLE))
    node = start_node(
        replace(
            settings,
            models=models,
            model=NAN_BUNDLE,
            destinations=(),
            routes=_report_all(pacs),
        )
    )
    study = new_study_uid()
    send_samples(node.address.port, [good_sample(study, number) for number in (1, 2)])
    [job] = node.wait_settled(study)[study]["jobs"]
    assert job["state"] == "FAILED"
    assert "score" in job["reason"]
    assert job["findings"] == []
    assert job["deliveries"] == []
    assert pacs.of_study(study) == []


def _report_all(pacs: StandInPacs) -> str:
    """Write a destination that wants even reports without a result."""
    address = pacs.address
    return (
        f'[[destinations]]\nname = "all"\nkind = "dicom"\n'
        f'ae_title = "{address.ae_title}"\nhost = "{address.host}"\n'
        f"port = {address.port}\nsend_not_evaluated = true\n"
        'objects = ["sr"]\n'
        f'[[routes]]\nname = "more"\nmodel = "{NAN_BUNDLE}"\n'
        'destinations = ["all"]\n[routes.when]\nmodality = ["CR"]\n'
    )


def _overflow(bundle: Path) -> None:
    """Make the last layer so large that some images, not all, leave float32."""
    weights = bundle / "weights.safetensors"
    state = load_file(weights)
    before = hashlib.sha256(weights.read_bytes()).hexdigest()
    for name in state:
        if name.endswith("head.weight"):
            state[name] = state[name].sign() * 3e38
    save_file(state, weights)
    card = bundle / "card.toml"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    card.write_text(card.read_text().replace(before, digest))
