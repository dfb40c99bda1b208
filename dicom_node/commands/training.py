"""`train` and `evaluate`: make and measure a bundle."""

import argparse

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from dicom_node.commands.screen import console, print_json
