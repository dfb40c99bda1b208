"""Random data sets: mostly elements as they should be, some that no writer makes."""

import random
import struct
from dataclasses import dataclass
from typing import Final

from tests.unit.receive.build import BIG, EXPLICIT, IMPLICIT

SYNTAXES: Final = (EXPLICIT, IMPLICIT, BIG)
UNDEFINED: Final = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
PIXELS: Final = (0x7FE00010, 0x7FE00008)
TAGS: Final = (
    *(0x00080005, 0x00080018, 0x0008103E, 0x00081030, 0x00081140, 0x00200011),
    *(0x00280010, 0x00420011, 0x0040A730, 0x00400275, 0x60003000, 0x00880200),
    *(0x00031010, 0x00091010, 0x00290010, 0x00430010, 0x0043101E, 0x00431010),
    *(0xFFFCFFFC, 0xFFFF0010, *PIXELS),
)
STRANGE_TAGS: Final = (0x00020010, 0, ITEM, ITEM_END, SEQUENCE_END)
LONG_VRS: Final = (b"SQ", b"UN", b"OB", b"OW", b"UT")
SHORT_VRS: Final = (b"LO", b"UI", b"US", b"CS", b"SH")
STRANGE_VRS: Final = (b"ZZ", b"\0\0", b"aa")


@dataclass(frozen=True, slots=True)
class Grammar:
    """Writes elements in one encoding; `chance` decides about everything."""

    chance: random.Random
    explicit: bool
    order: str

    def dataset(self) -> bytes:
        """Write a few elements, at times cut off."""
        whole = b"".join(self.element(0) for _ in range(self.chance.randint(1, 8)))
        if self._now_and_then(0.1):
            return whole[: self.chance.randrange(len(whole) + 1)]
        return whole

    def element(self, depth: int) -> bytes:
        """Write an element with whatever it holds."""
        tag = self.chance.choice(TAGS)
        if self._now_and_then(0.05):
            tag = self.chance.choice(STRANGE_TAGS)
        vr = self.chance.choice(LONG_VRS if self._now_and_then(0.5) else SHORT_VRS)
        if self._now_and_then(0.02):
            vr = self.chance.choice(STRANGE_VRS)
        if self.explicit:
            holds_items = vr in (b"SQ", b"UN") and self._now_and_then(0.7)
        else:
            holds_items = self._now_and_then(0.4)
        if tag in PIXELS and self._now_and_then(0.4):
            vr = self.chance.choice(LONG_VRS)
            body, length = self._fragments(), UNDEFINED
        elif holds_items and depth < 5:
            body, length = self._inner(vr)._items(depth)
        else:
            body = self._value()
            length = len(body)
        if self._now_and_then(0.03):
            length = self.chance.choice((UNDEFINED, length + 1, length ^ 2, 1 << 31))
        return self._head(tag, vr, length % (1 << 32)) + body

    def _head(self, tag: int, vr: bytes, length: int) -> bytes:
        if not self.explicit:
            return self._tag(tag) + self._number(length)
        if vr in LONG_VRS:
            return self._tag(tag) + vr + b"\0\0" + self._number(length)
        return self._tag(tag) + vr + struct.pack(f"{self.order}H", length & 0xFFFF)

    def _inner(self, vr: bytes) -> "Grammar":
        """Items under VR UN are in implicit VR little endian (PS3.5 6.2.2), mostly."""
        if self.explicit and vr == b"UN":
            return Grammar(self.chance, self._now_and_then(0.3), "<")
        return self

    def _items(self, depth: int) -> tuple[bytes, int]:
        """Write items; return them and the length to write before them."""
        body = b""
        for _ in range(self.chance.randint(0, 3)):
            inner = b"".join(
                self.element(depth + 1) for _ in range(self.chance.randint(0, 4))
            )
            if self._now_and_then(0.5):
                body += self._delimiter(ITEM, len(inner)) + inner
            else:
                body += self._delimiter(ITEM, UNDEFINED) + inner
                body += b"" if self._now_and_then(0.05) else self._delimiter(ITEM_END)
        if self._now_and_then(0.5):
            return body, len(body)
        end = b"" if self._now_and_then(0.05) else self._delimiter(SEQUENCE_END)
        return body + end, UNDEFINED

    def _fragments(self) -> bytes:
        fragment = self._delimiter(ITEM, 4) + b"abcd"
        return fragment * self.chance.randint(0, 3) + self._delimiter(SEQUENCE_END)

    def _value(self) -> bytes:
        kind = self.chance.random()
        if kind < 0.15:
            return b""
        if kind < 0.3:
            return b"GEMS_PARM_01"
        if kind < 0.4:
            length = self.chance.choice((0, 8, 40, UNDEFINED))
            return self._delimiter(ITEM, length) + bytes(self.chance.randint(0, 12))
        return self.chance.randbytes(2 * self.chance.randint(0, 8))

    def _delimiter(self, tag: int, length: int = 0) -> bytes:
        return self._tag(tag) + self._number(length)

    def _tag(self, tag: int) -> bytes:
        return struct.pack(f"{self.order}HH", tag >> 16, tag & 0xFFFF)

    def _number(self, number: int) -> bytes:
        return struct.pack(f"{self.order}L", number)

    def _now_and_then(self, share: float) -> bool:
        return self.chance.random() < share


def grammar(chance: random.Random, syntax: str) -> Grammar:
    """Return what writes in a transfer syntax."""
    return Grammar(chance, syntax != IMPLICIT, ">" if syntax == BIG else "<")
