"""`models`: list, show, verify, add, bench and select bundles."""

import argparse
from pathlib import Path

from dicom_node.commands.screen import console, loaded, print_json
