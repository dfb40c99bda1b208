"""`send` and `echo`: this node as a C-STORE and C-ECHO SCU."""

import argparse
from contextlib import nullcontext
from dataclasses import asdict

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

from dicom_node.commands.screen import console, loaded, print_json
from dicom_node.core.errors import UsageError
from dicom_node.deliver.send import Peer
from dicom_node.deliver.send import echo as send_echo
from dicom_node.deliver.send import find_files, send_files


def _peer(options: argparse.Namespace) -> Peer:
    node = loaded(options).settings.node
    host, port, called = node.host, node.port, options.called or node.ae_title
    if options.to:
        host, _, text = options.to.rpartition(":")
        if not host or not text.isdigit():
            raise UsageError("--to takes HOST:PORT, for example 127.0.0.1:11112")
        port = int(text)
        called = options.called or "ANY-SCP"
    return Peer(
        host=host.strip("[]"),
        port=port,
        called_ae_title=called,
        calling_ae_title=options.calling,
    )


def echo(options: argparse.Namespace) -> int:
    """Verify that the peer answers."""
    peer = _peer(options)
    seconds = send_echo(peer)
    if options.json:
        print_json({"host": peer.host, "port": peer.port, "seconds": seconds})
    else:
        print(f"{peer.called_ae_title} at {peer.host}:{peer.port} answered in "
              f"{seconds * 1000:.0f} ms")  # fmt: skip
    return 0
