"""What a forked role shows of itself and how it ends."""

import signal
import subprocess
import sys

import pytest

_WORDS = """
import sys
from pathlib import Path
from dicom_node.forked import show_words
show_words(sys.stdin.read().split())
shown = Path("/proc/self/cmdline").read_text().rstrip("\\0")
print(shown.replace("\\0", " "))
"""
_ENDS = """
import os, signal, sys
from dicom_node.forked import Role, fork
def end():
    print("heard", flush=True)
    {end}
child = fork(Role(run=end, words=["role"]), heard=True)
print(child.stdout.read().strip(), child.wait(30), child.poll(), child.wait(0))
child.signal(signal.SIGTERM)
"""


def _run(code: str, given: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=given,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip()


def test_a_command_line_is_shown_instead_of_the_one_before() -> None:
    words = "/usr/bin/python -m dicom_node receive --config /etc/node.toml"
    assert _run(_WORDS, words) == words


def test_the_interpreter_gives_up_its_folder_where_there_is_no_room() -> None:
    words = ["/far/away" * 200 + "/python", "-m", "dicom_node", "receive"]
    assert _run(_WORDS, " ".join(words)) == "python -m dicom_node receive"


def test_words_that_never_fit_are_cut_and_nothing_after_them_is_touched() -> None:
    shown = _run(_WORDS, "python " + "a" * 5000 + " " + "b" * 5000)
    assert shown.startswith("python aaa")
    assert set(shown.removeprefix("python ")) <= set("ab ")


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("return 0", 0),
        ("return 2", 2),
        ("sys.exit(3)", 3),
        ("sys.exit()", 0),
        ("sys.exit('a text')", 1),
        ("raise ValueError", 1),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
    ],
)
def test_a_child_is_heard_and_ends_with_its_code(end: str, code: int) -> None:
    assert _run(_ENDS.replace("{end}", end)) == f"heard {code} {code} {code}"
