"""The command line: what wrong usage is told."""

import pytest

from dicom_node.cli import main


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "dicom-node: the following arguments are required: COMMAND: "),
        (("models",), "dicom-node models: the following arguments are required: "),
        (("show", "--limit", "many"), "dicom-node show: argument --limit: invalid "),
    ],
)
def test_wrong_usage_is_one_sentence_with_the_remedy(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    shown = capsys.readouterr()
    assert (ended.value.code, shown.out, shown.err.count("\n")) == (2, "", 1)
    assert shown.err.startswith(said)
    assert "--help` tells" in shown.err


def test_a_path_that_cannot_be_used_is_one_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Too long for every file system; what a user may not enter ends in the same way.
    assert main(["send", "n" * 300, "--to", "127.0.0.1:104"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "(File name too long): correct the path" in said
