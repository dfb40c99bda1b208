"""The page of the demo's node: where it is, and for how long."""

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from db.summary import StudySummary
from dicom_node.core.states import Outcome
from dicom_node.demo.node import NodeProcess

_POLL_SECONDS: Final = 0.2


def page_address(studies: Sequence[StudySummary], *, port: int) -> str:
    """Return the address of the study to look at first: one with a finding."""
    found = [
        study
        for study in studies
        if any(job["outcome"] == Outcome.PRESENT for job in study["jobs"])
    ]
    path = f"studies/{found[0]['study_instance_uid']}" if found else ""
    return f"http://127.0.0.1:{port}/{path}"


def wait_for_reader(running: NodeProcess) -> None:
    """Return when the reader presses Ctrl-C, or the node has ended."""
    with suppress(KeyboardInterrupt):
        while running.running:
            time.sleep(_POLL_SECONDS)
