"""Carry one command out: an error becomes a sentence and an exit code."""

import argparse
import os
import sys
from collections.abc import Callable
from typing import Final

from dicom_node.core.errors import ConfigError, NodeError, UsageError

EXIT_FAILURE: Final = 1
EXIT_USAGE: Final = 2
_EXIT_INTERRUPTED: Final = 130


def carry_out(
    run: Callable[[argparse.Namespace], int | None], options: argparse.Namespace
) -> int:
    """Run the command; return the exit code."""
    try:
        code = run(options)
    except (ConfigError, UsageError) as error:
        return _complain(error, EXIT_USAGE)
    except NodeError as error:
        return _complain(error, EXIT_FAILURE)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILURE
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED
    return int(code or 0)


def _complain(error: NodeError, code: int) -> int:
    if text := str(error):
        print(f"dicom-node: {text}", file=sys.stderr)
    return code
