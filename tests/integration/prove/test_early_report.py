"""A report of the commitment that is there before anybody waits for it."""

import threading
from pathlib import Path

from dicom_node.core.proof import CommitmentAnswer
from dicom_node.deliver.commitment import request_commitment
from dicom_node.deliver.peer import Peer
from tests.integration.deliver.peers import make_report
from tests.integration.prove.archive import Habits, running_archive

ROUNDS = 30


def test_a_report_before_the_response_keeps_no_association_from_its_end(
    tmp_path: Path,
) -> None:
    """pynetdicom serves it in a thread of its own, beside whoever asks or releases."""
    report = make_report(tmp_path).report
    heard: list[str] = []

    def on_answer(answer: CommitmentAnswer) -> bool:
        heard.append(answer.transaction_uid)
        return True

    with running_archive(Habits(answers=["early"])) as archive:
        peer = Peer(
            host="127.0.0.1",
            port=archive.port,
            called_ae_title="PACS",
            calling_ae_title="AINODE",
            timeout_seconds=5,
        )

        def ask() -> None:
            for number in range(ROUNDS):
                request_commitment(
                    peer,
                    report,
                    f"2.25.{number + 1}",
                    on_answer=on_answer,
                    answered=lambda: True,
                )

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(60)
        assert not asking.is_alive(), f"held up after {len(heard)} reports"
    assert heard == [f"2.25.{number + 1}" for number in range(ROUNDS)]
    assert archive.reported == [0x0000] * ROUNDS
