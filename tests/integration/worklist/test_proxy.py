"""The worklist proxy between readers and worklists that behave and misbehave."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.association import Association

from dicom_node.worklist.proxy_callers import ProxyCaller, Refusal
from tests.integration.worklist.stations import (
    EXPLICIT,
    IMPLICIT,
    Answer,
    ask,
    hospital,
    item,
    question,
    running_proxy,
)
from tests.peers import Machine, accepts, free_port, run_tool, start_tool, wait_until
from tests.peers import require_tool as tool

ORDER = """
(0008,0005) CS [ISO_IR 192]
(0008,0050) SH [A1]
(0010,0010) PN [홍^길동]
(0010,0020) LO [P1]
(0020,000d) UI [1.2.3]
(0040,0100) SQ
(fffe,e000) -
(0008,0060) CS [DX]
(0040,0001) AE [ANY]
(0040,0002) DA [20260101]
(0040,0003) TM [100000]
(fffe,e00d) -
(fffe,e0dd) -
(0040,1001) SH [R1]
(0040,1003) SH [ROUTINE]
(0040,1400) LT [after lunch]
"""
KEYS = ("RequestedProcedurePriority", "RequestedProcedureComments")


@pytest.fixture
def wlmscpfs(tmp_path: Path, machine: Machine) -> int:
    """Run dcmtk's worklist with one order; return its port."""
    folder = tmp_path / "orders" / "WORKLIST"
    folder.mkdir(parents=True)
    (folder / "lockfile").touch()
    dump = tmp_path / "order.dump"
    dump.write_text(ORDER, encoding="utf-8")
    made = run_tool("dump2dcm", "-q", dump, folder / "order.wl")
    assert made.returncode == 0, made.stdout
    port = free_port()
    machine.add(
        start_tool(
            [tool("wlmscpfs"), "-dfr", "-dfp", folder.parent, str(port)],
            log=tmp_path / "wlmscpfs.log",
        )
    )
    wait_until(lambda: accepts(port), what="wlmscpfs listens")
    return port


def _findscu(port: int, *keys: str) -> str:
    arguments = [word for key in keys for word in ("-k", key)]
    found = run_tool(
        "findscu", "-v", "-W", "-aec", "AIWORKLIST", *arguments, "127.0.0.1", str(port)
    )
    assert found.returncode == 0, found.stdout
    return found.stdout


def test_findscu_sees_the_hospital_s_order_with_the_priority_raised(
    wlmscpfs: int,
) -> None:
    with running_proxy(wlmscpfs) as proxy:
        said = _findscu(
            proxy.port,
            "0008,0050", "0010,0010", "0040,1003", "0040,1400",
            "0040,0100[0].0008,0060=DX",
        )  # fmt: skip
        counted = proxy.counted.queries
    answer = said.partition("Pending")[2]
    assert "(0040,1003) SH [STAT" in answer
    assert "(0040,1400) LT [after lunch; AI suggests STAT: Pneumothorax" in answer
    assert "홍^길동" in answer
    assert "Success" in said
    assert counted == [("answered", 1)]


def test_findscu_sees_the_order_as_it_is_when_it_asks_for_neither_key(
    wlmscpfs: int,
) -> None:
    with running_proxy(wlmscpfs) as proxy:
        said = _findscu(proxy.port, "0008,0050=A1", "0040,1001")
    assert "[R1]" in said
    assert "(0040,1003)" not in said
    assert "AI suggests" not in said


def test_echoscu_is_answered(wlmscpfs: int) -> None:
    with running_proxy(wlmscpfs) as proxy:
        said = run_tool("echoscu", "-aec", "AIWORKLIST", "127.0.0.1", str(proxy.port))
    assert said.returncode == 0


def _one(_event: evt.Event) -> Iterator[Answer]:
    yield 0xFF00, item()
    yield 0xFF01, item("B2")


def test_the_priority_of_an_order_without_advice_stays() -> None:
    with hospital(_one) as port, running_proxy(port) as proxy:
        found, last = ask(proxy.port, question(*KEYS))
    assert last == 0
    assert [one.RequestedProcedurePriority for one in found] == ["STAT", "ROUTINE"]
    assert found[1].RequestedProcedureComments == "after lunch"


def test_the_query_and_every_other_byte_of_the_answers_pass_unchanged() -> None:
    seen: list[bytes] = []
    private = item("B2", PatientID=" odd  spacing")
    private.add_new(0x00991001, "LO", "PRIVATE")
    private.add_new(0x00991101, "UN", b"\x01\x02\x03\x04")

    def answer(event: evt.Event) -> Iterator[Answer]:
        request: Any = event.request
        seen.append(request.Identifier.getvalue())
        yield 0xFF00, private

    query = question(*KEYS)
    query.add_new(0x00991001, "LO", "PRIVATE")
    with hospital(answer) as port:
        direct, _ = ask(port, query)
        with running_proxy(port) as proxy:
            through, _ = ask(proxy.port, query)
    assert seen[0] == seen[1]
    assert through == direct


@pytest.mark.parametrize("mine", [EXPLICIT, IMPLICIT])
@pytest.mark.parametrize("theirs", [EXPLICIT, IMPLICIT])
def test_reader_and_hospital_may_speak_different_transfer_syntaxes(
    mine: str, theirs: str
) -> None:
    with hospital(_one, (theirs,)) as port, running_proxy(port) as proxy:
        found, last = ask(proxy.port, question(*KEYS), syntax=mine)
    assert last == 0
    assert found[0].RequestedProcedurePriority == "STAT"
    assert found[0].PatientName == "Doe^John"


@pytest.mark.parametrize("status", [0xA700, 0xA900, 0xC001, 0xC123])
def test_a_failure_of_the_hospital_s_is_passed_on(status: int) -> None:
    def answer(_event: evt.Event) -> Iterator[Answer]:
        yield status, None

    with hospital(answer) as port, running_proxy(port) as proxy:
        assert ask(proxy.port, question(*KEYS)) == ([], status)
        assert proxy.counted.queries == [("refused", 0)]


@pytest.mark.parametrize(
    ("on_failure", "status"), [("fail", 0xA700), ("empty", 0x0000)]
)
def test_a_worklist_that_is_down_is_answered_as_configured(
    on_failure: str, status: int
) -> None:
    with running_proxy(free_port(), on_failure=on_failure) as proxy:
        assert ask(proxy.port, question(*KEYS)) == ([], status)
        assert proxy.counted.queries == [("failed", 0)]


@pytest.mark.parametrize(
    ("on_failure", "status"), [("fail", 0xC001), ("empty", 0x0000)]
)
def test_a_worklist_that_dies_in_the_middle_leaves_what_it_said(
    on_failure: str, status: int
) -> None:
    def answer(event: evt.Event) -> Iterator[Answer]:
        yield 0xFF00, item()
        event.assoc.abort()

    with hospital(answer) as port, running_proxy(port, on_failure=on_failure) as proxy:
        found, last = ask(proxy.port, question(*KEYS))
    assert len(found) == 1
    assert last == status


def test_a_worklist_that_stalls_is_given_up_after_the_time_that_it_has() -> None:
    let_go = threading.Event()

    def answer(_event: evt.Event) -> Iterator[Answer]:
        let_go.wait(30)
        yield 0xFF00, item()

    with hospital(answer) as port, running_proxy(port, timeout_seconds=0.5) as proxy:
        try:
            assert ask(proxy.port, question(*KEYS)) == ([], 0xA700)
        finally:
            let_go.set()


def test_a_peer_that_takes_the_connection_and_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with running_proxy(port, timeout_seconds=0.5) as proxy:
            assert ask(proxy.port, question(*KEYS)) == ([], 0xA700)


def test_a_peer_that_speaks_nonsense_is_a_failure_and_no_more() -> None:
    with socket.create_server(("127.0.0.1", 0)) as odd:

        def talk() -> None:
            for _ in range(2):
                caller, _ = odd.accept()
                with caller:
                    caller.recv(4096)
                    caller.sendall(b"\x02\x00\xff\xff\xff\xffHTTP/1.1 400 Bad Request")

        speaker = threading.Thread(target=talk)
        speaker.start()
        with running_proxy(odd.getsockname()[1]) as proxy:
            for _ in range(2):
                assert ask(proxy.port, question(*KEYS)) == ([], 0xA700)
        speaker.join(10)


def test_a_cancel_reaches_the_hospital_and_ends_the_query() -> None:
    cancelled = threading.Event()

    def answer(event: evt.Event) -> Iterator[Answer]:
        for _ in range(100_000):
            if event.is_cancelled:
                cancelled.set()
                yield 0xFE00, None
                return
            yield 0xFF00, item()

    def cancel(number: int, association: Association) -> None:
        if number == 3:
            association.send_c_cancel(7, None, "1.2.840.10008.5.1.4.31")

    with hospital(answer) as port, running_proxy(port) as proxy:
        _, last = ask(proxy.port, question(*KEYS), each=cancel)
        assert last == 0xFE00
        assert proxy.counted.queries[0][0] == "cancelled"
    assert cancelled.is_set()


def test_a_worklist_without_end_is_cut_off_at_the_limit() -> None:
    def answer(_event: evt.Event) -> Iterator[Answer]:
        while True:
            yield 0xFF00, item()

    with hospital(answer) as port, running_proxy(port, max_answers=50) as proxy:
        found, last = ask(proxy.port, question(*KEYS))
        assert (len(found), last) == (50, 0xA700)
        assert proxy.counted.queries == [("cut off", 50)]


def test_a_reader_who_hangs_up_ends_the_query_at_the_hospital() -> None:
    ended = threading.Event()

    def answer(event: evt.Event) -> Iterator[Answer]:
        while event.assoc.is_established and not event.assoc.acse.is_aborted():
            yield 0xFF00, item()
        ended.set()

    def abort(number: int, association: Association) -> None:
        if number == 2:
            association.abort()
            association.dimse_timeout = 0.1  # pynetdicom still waits for an answer

    with hospital(answer) as port, running_proxy(port) as proxy:
        ask(proxy.port, question(*KEYS), each=abort)
        wait_until(lambda: proxy.counted.queries, what="the query ended")
        assert proxy.counted.queries[0][0] == "left"
        assert ended.wait(20)


def test_queries_are_answered_at_the_same_time() -> None:
    everybody = threading.Barrier(4, timeout=20)

    def answer(_event: evt.Event) -> Iterator[Answer]:
        everybody.wait()
        yield 0xFF00, item()

    with (
        hospital(answer) as port,
        running_proxy(port, timeout_seconds=30.0) as proxy,
        ThreadPoolExecutor(4) as readers,
    ):
        asked = [readers.submit(ask, proxy.port, question(*KEYS)) for _ in range(4)]
        assert [len(one.result(60)[0]) for one in asked] == [1, 1, 1, 1]


def test_a_caller_who_may_not_is_rejected_and_the_hospital_hears_nothing() -> None:
    heard: list[Dataset] = []

    def answer(event: evt.Event) -> Iterator[Answer]:
        heard.append(event.identifier)
        yield 0x0000, None

    def nobody(caller: ProxyCaller) -> Refusal | None:
        assert caller.calling_ae_title == "READER"
        return (1, 1, 3)

    with hospital(answer) as port, running_proxy(port, nobody) as proxy:
        assert ask(proxy.port, question(*KEYS)) == ([], None)
    assert heard == []
