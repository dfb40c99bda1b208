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
