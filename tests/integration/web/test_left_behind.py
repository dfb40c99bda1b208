"""A page says what of a result that holds no more stays in the archive."""

import html
from collections.abc import Iterator
from pathlib import Path

import pytest

from db import queries, sending, studies, work
from db.engine import Database
from db.story import as_document
from dicom_node.core.ids import StudyId
from dicom_node.core.types import Setback
from tests.integration.db.samples import (
    SENT,
    after,
    claim,
    claim_delivery,
    route_study,
)
from tests.integration.web.browser import Served, serving_desk
from tests.integration.web.studies import ROUTE, enter_study, fail_delivery, finish

NOTICE = "its report and pictures are in pacs still (cxr, revision 1)"
EVENT = "the report and pictures of cxr on revision 1 stay in pacs"


@pytest.fixture
def served(database: Database, tmp_path: Path) -> Iterator[Served]:
    """A site over an empty database."""
    with serving_desk(database, tmp_path) as running:
        yield running


def _page(served: Served) -> str:
    return html.unescape(served.browser().get("/studies/2.25.1").body.decode())


def _told(database: Database) -> StudyId:
    """Bring a result into the archive."""
    study_id = enter_study(database, "2.25.1")
    finish(database, study_id, urgency=None)
    sending.settle_delivery(database, claim_delivery(database), SENT, now=after(11))
    return study_id


def test_what_a_routing_left_out_stays_and_the_page_says_what_to_do(
    served: Served,
) -> None:
    study_id = _told(served.database)
    assert "stay" not in _page(served)
    studies.reopen(served.database, study_id, now=after(20))
    route_study(served.database, study_id, at=21)
    page = _page(served)
    assert NOTICE in page
    assert EVENT in page
    assert "no route wants this model for the study any more" in page
    (story,) = queries.timeline(served.database, "2.25.1")
    last = as_document(story)["events"][-1]
    assert last["what"] == "stays in the archive"
    assert last["detail"]["destinations"] == "pacs"
    assert last["detail"]["what_to_do"].startswith("the node removes nothing")


def test_it_is_told_in_korean(served: Served) -> None:
    study_id = _told(served.database)
    studies.reopen(served.database, study_id, now=after(20))
    route_study(served.database, study_id, at=21)
    answer = served.browser().get("/studies/2.25.1", Accept_Language="ko")
    page = html.unescape(answer.body.decode())
    assert "보고서와 영상이 아직 pacs에 있습니다" in page
    assert "이 모델을 이 검사에 쓰는 경로가 더 이상 없음" in page
    assert "보관소에서 아무것도 지우지 않습니다" in page


def test_a_revision_that_failed_leaves_the_object_before_until_there_is_a_result(
    served: Served,
) -> None:
    study_id = _told(served.database)
    studies.reopen(served.database, study_id, now=after(20))
    route_study(served.database, study_id, ROUTE, at=21)
    assert NOTICE not in _page(served)
    failed = Setback(reason="the device is gone")
    work.fail(served.database, claim(served.database, at=22), failed, now=after(23))
    page = _page(served)
    assert NOTICE in page
    assert EVENT in page
    studies.reopen(served.database, study_id, now=after(30))
    finish(served.database, study_id, urgency=None, at=31)
    page = _page(served)
    assert NOTICE not in page
    assert EVENT in page


def test_what_never_left_stays_nowhere(served: Served) -> None:
    study_id = enter_study(served.database, "2.25.1")
    finish(served.database, study_id, urgency=None)
    fail_delivery(served.database)
    studies.reopen(served.database, study_id, now=after(20))
    route_study(served.database, study_id, at=21)
    page = _page(served)
    assert NOTICE not in page
    assert EVENT not in page
