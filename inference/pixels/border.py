"""Where third-party readers and decoders are called: none of their words leave."""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from dicom_node.core.errors import PixelError

_LOGGERS = tuple(
    logging.getLogger(name)
    for name in (
        "pydicom",
        "pydicom.pixels.decoders.base",  # a logger of its own, disabled by itself
        "pylibjpeg",
        "openjpeg",
        "rle",
    )
)
# warnings.catch_warnings swaps a module-wide list, so one thread at a time.
_one_at_a_time = threading.RLock()


@contextmanager
def third_party(failure: str) -> Iterator[None]:
    """Turn whatever a third party raises into a PixelError that says `failure`.

    Its exceptions, warnings and log records quote values of the data set; they
    are dropped, so `failure` must name the attribute or the codec.

    Raises:
        PixelError: anything at all was raised inside.
    """
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = [logger.disabled for logger in _LOGGERS]
        for logger in _LOGGERS:
            logger.disabled = True
        try:
            yield
        except PixelError:
            raise
        except Exception:  # noqa: BLE001 - parsers of hostile input raise anything
            raise PixelError(failure) from None
        finally:
            for logger, disabled in zip(_LOGGERS, before, strict=True):
                logger.disabled = disabled
