"""`demo`: the whole node on this machine, with a self-check at the end."""

import argparse

from dicom_node.commands.screen import console
from dicom_node.demo.run import DemoOptions, run_demo


def run(options: argparse.Namespace) -> int:
    """Run the demo; exit code 1 if anything is off."""
    return run_demo(
        DemoOptions(
            data=options.data,
            output=options.output,
            as_json=options.json,
            keep=options.keep,
        ),
        console(),
    )
