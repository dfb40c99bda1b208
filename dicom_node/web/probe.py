"""Ask something that may block for ever, from an event loop that must not."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class Probe(Generic[Answer]):
    """One question, asked by one thread at a time however many want to know.

    Args:
        look: returns the answer; runs in a thread of its own.
        seconds: how long a caller waits; a `look` that hangs is not asked again
            before it has ended.
        keep_seconds: how long an answer serves further callers.
    """

    def __init__(
        self, look: Callable[[], Answer], *, seconds: float, keep_seconds: float = 0.5
    ) -> None:
        self._look, self._seconds, self._keep = look, seconds, keep_seconds
        self._asked: asyncio.Future[Answer | None] | None = None
        self._kept_until = 0.0
        self.last: Answer | None = None  # what `answer` returned last

    async def answer(self) -> Answer | None:
        """Return the answer, None if `look` raised or does not end in time."""
        if self._asked is None or (
            self._asked.done() and time.monotonic() >= self._kept_until
        ):
            self._asked = self._ask()
        try:
            self.last = await asyncio.wait_for(
                asyncio.shield(self._asked), self._seconds
            )
        except TimeoutError:
            self.last = None
        return self.last

    def _ask(self) -> "asyncio.Future[Answer | None]":
        loop = asyncio.get_running_loop()
        asked: asyncio.Future[Answer | None] = loop.create_future()

        def settle(answer: Answer | None) -> None:
            self._kept_until = time.monotonic() + self._keep
            if not asked.done():
                asked.set_result(answer)

        def run() -> None:
            try:
                answer: Answer | None = self._look()
            except Exception:  # noqa: BLE001 - a thread's edge; its text may say anything
                answer = None
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, answer)

        threading.Thread(target=run, name="probe", daemon=True).start()
        return asked
