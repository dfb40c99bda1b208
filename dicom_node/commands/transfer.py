"""`send` and `echo`: this node as a C-STORE and C-ECHO SCU."""

import argparse
from collections import Counter

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

from dicom_node.commands.screen import console, loaded, print_json
from dicom_node.core.errors import UsageError
from dicom_node.core.tls import TLSFiles, outgoing_context
from dicom_node.deliver.association import Peer
from dicom_node.deliver.send import SendProgress, SendSummary, send_files
from dicom_node.deliver.send import echo as send_echo

_LISTED_PROBLEMS = 20


def echo(options: argparse.Namespace) -> int:
    """Verify that the peer answers."""
    peer = _peer(options)
    seconds = send_echo(peer)
    if options.json:
        print_json({"host": peer.host, "port": peer.port, "seconds": seconds})
    else:
        print(
            f"{peer.called_ae_title} at {peer.host}:{peer.port} answered in "
            f"{seconds * 1000:.0f} ms"
        )
    return 0


def send(options: argparse.Namespace) -> int:
    """C-STORE files and folders; exit code 1 unless the peer took them all."""
    missing = [str(path) for path in options.paths if not path.exists()]
    if missing:
        raise UsageError(f"there is no file or folder {', '.join(missing)}")
    peer = _peer(options)
    screen = console()
    with Progress(
        "sending",
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=screen,
        disable=options.json or not screen.is_terminal,
    ) as bar:
        task = bar.add_task("sending", total=None)

        def advance(progress: SendProgress) -> None:
            bar.update(task, completed=progress.done, total=progress.total)

        summary = send_files(options.paths, peer, on_progress=advance)
    if options.json:
        print_json(_document(summary))
    else:
        _print_summary(summary)
    return 0 if summary.complete and summary.files else 1


def _peer(options: argparse.Namespace) -> Peer:
    settings = loaded(options).settings
    node, tls = settings.node, _tls(options)
    host, port, called = node.host, node.port, options.called or node.ae_title
    if tls is not None and settings.tls.port:
        port = settings.tls.port
    if options.to:
        host, _, text = options.to.rpartition(":")
        if not host or not text.isdigit():
            raise UsageError("--to takes HOST:PORT, for example 127.0.0.1:11112")
        port, called = int(text), options.called or "ANY-SCP"
    return Peer(
        host=host.strip("[]"),
        port=port,
        called_ae_title=called,
        calling_ae_title=options.calling,
        tls=tls,
    )


def _tls(options: argparse.Namespace) -> TLSFiles | None:
    """Return the files of --tls; naming one of them asks for TLS, too."""
    files = TLSFiles(
        ca=options.ca,
        certificate=options.certificate,
        private_key=options.key,
        where="command line",
    )
    if not options.tls and not files.paths:
        return None
    outgoing_context(files)  # a file that cannot be used is said before anything else
    return files


def _document(summary: SendSummary) -> dict[str, object]:
    return {
        "sent": summary.taken,
        "files": [
            {
                "path": str(file.path),
                "sop_class_uid": file.sop_class_uid,
                "transfer_syntax_uid": file.transfer_syntax_uid,
                "status": None if file.status is None else f"0x{file.status:04X}",
                "taken": file.taken,
                "problem": file.problem or None,
            }
            for file in summary.files
        ],
        "seconds": summary.seconds,
    }


def _print_summary(summary: SendSummary) -> None:
    print(f"{summary.taken} of {len(summary.files)} files taken "
          f"in {summary.seconds:.1f} s")  # fmt: skip
    if not summary.files:
        print("no file was found")
    refused = [file for file in summary.files if not file.taken]
    for file in refused[:_LISTED_PROBLEMS]:
        print(f"  {file.path}: {file.problem}")
    if len(refused) > _LISTED_PROBLEMS:
        print(f"  and {len(refused) - _LISTED_PROBLEMS} more:")
        for problem, count in Counter(item.problem for item in refused).most_common():
            print(f"    {count} x {problem}")
