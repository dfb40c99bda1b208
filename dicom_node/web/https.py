"""The certificate of the page, renewed without a restart."""

import logging
import ssl
import time
from collections.abc import Callable
from typing import Final

from config.web import WebTable
from dicom_node.core.errors import ConfigError
from dicom_node.core.tls import TLSFiles, apply_profile, load_files, reason_of

log = logging.getLogger("dicom_node.web")

_LOOK_SECONDS: Final = 5.0


class Https:
    """The context of the port; whoever connects gets the latest good certificate.

    Args:
        monotonic: seconds that only grow.
    """

    def __init__(
        self, files: TLSFiles, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._files, self._monotonic = files, monotonic
        self._signature = self._sign()
        self._next_look = monotonic() + _LOOK_SECONDS
        self.context = _context(files)

    @classmethod
    def of(cls, web: WebTable) -> "Https | None":
        """Read the settings, None if the port does not speak HTTPS.

        Raises:
            ConfigError: a file cannot be used.
        """
        if web.certificate is None:
            return None
        return cls(
            TLSFiles(
                certificate=web.certificate, private_key=web.private_key, where="web"
            )
        )

    def look(self) -> None:
        """Read the files again if they changed; in the thread that shakes hands."""
        now = self._monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_SECONDS
        signature = self._sign()
        if signature == self._signature:
            return
        self._signature = signature
        try:
            _context(self._files)  # half of a pair would spoil the one in use
            load_files(self.context, self._files)
        except ConfigError as error:
            log.error(
                "TLS files cannot be used, the last good ones stay",
                extra={"reason": reason_of(error)},
            )
        else:
            log.info("TLS files read again")

    def _sign(self) -> tuple[tuple[int, int, int], ...]:
        found = []
        for path in self._files.paths:
            try:
                status = path.stat()
            except OSError:  # in the middle of being replaced
                found.append((0, 0, 0))
            else:
                found.append((status.st_mtime_ns, status.st_size, status.st_ino))
        return tuple(found)


def _context(files: TLSFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    apply_profile(context)
    load_files(context, files)
    return context
