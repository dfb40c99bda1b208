"""Walk over the elements of an encoded data set without recursion or copies.

The walk decides whether anything else may parse the bytes: every length is checked
against its parent, depth and number of elements are limited, and it takes the same
turns as pydicom where writers break the rules (PS3.5 7.1). It sees the same whether
the data set is in memory or only its head: it asks for the rest before it looks there.
"""

from dataclasses import replace
from typing import Final

from pydicom._dicom_dict import DicomDictionary

from dicom_node.core.errors import CannotUnderstand
from dicom_node.receive.layout import (
    DELIMITERS,
    ITEM,
    PIXEL_TAGS,
    SEQUENCE_END,
    SEQUENCE_VR,
    SHORT_VR,
    UNDEFINED,
    Elements,
    Encoding,
    PixelElement,
)
from dicom_node.receive.limits import ScanLimits
from dicom_node.receive.nesting import Malformed, Nesting
from dicom_node.receive.private import (
    CREATOR_ELEMENTS,
    MAX_CREATOR_BYTES,
)
from dicom_node.receive.progress import Frame, Prefix, Wanted
from dicom_node.receive.skim import skim_explicit, skim_implicit
from dicom_node.receive.view import Source

_MAX_VALUE_BYTES: Final = 4096  # of a wanted value, the rest does not matter
_ZEROS: Final = bytes(1 << 16)


def walk(
    source: Source,
    encoding: Encoding,
    *,
    wanted: Wanted,
    limits: ScanLimits,
    prefix: Prefix | None = None,
) -> Elements:
    """Check the structure of a data set and find the wanted top-level values.

    Args:
        prefix: where another walk has come to that took the same way.

    Raises:
        CannotUnderstand: a length leaves its parent, a delimiter is missing, or a
            limit is reached.
    """
    return Walk(source, limits).run(encoding, wanted, prefix)


class Walk(Nesting):
    """A walk over one data set."""

    def run(
        self, encoding: Encoding, wanted: Wanted, prefix: Prefix | None = None
    ) -> Elements:
        """Walk to the end of the data set, see `walk`."""
        whole = Frame(encoding, self.size, wanted)
        self._stack = stack = [whole]
        if prefix is not None:
            self.values, whole.blocks = prefix.values, prefix.blocks
            self.advance(prefix.position, prefix.count, prefix.empty)
        while stack:
            try:
                while stack:
                    frame = stack[-1]
                    if self.position == frame.end:
                        self._end_elements(frame)
                        continue
                    self._skim(frame)
                    self._read_element(frame)
            except Malformed as error:
                self._leave_guess(error)
        return Elements(self.values, tuple(self.pixels))

    def _skim(self, frame: Frame) -> None:
        if frame.encoding.explicit:
            skim_explicit(self, frame)
        else:
            skim_implicit(self, frame)

    def _value(self, tag: int, start: int, stop: int) -> None:
        """Keep a value, which leaves the way of the walk as it is."""
        if stop > self.known:
            self.reach_all()
        self.values[tag] = bytes(self.data[start:stop])

    def _read_element(self, frame: Frame) -> None:
        """Read one element, or close the data set that is open."""
        position = self.position
        if position + 8 > frame.end:
            return self._end_elements(frame)
        self._count()
        self._look(position, position + 8)
        encoding = frame.encoding
        group, element, code, length = encoding.header(self.data, position)
        if group == DELIMITERS:
            return self._end_item(frame, element)
        if group < frame.wanted.lowest_group:
            return self._pass_padding(position, frame.end)
        vr, start = b"", position + 8
        if encoding.explicit:
            vr = encoding.vr_names.get(code, b"")
            if vr not in SHORT_VR:
                if not vr or position + 12 > frame.end:
                    vr = _foreign_vr(self._bytes(position + 4, position + 6))
                else:
                    start += 4
        if vr not in SHORT_VR:
            self._look(start - 4, start)
            length = encoding.length(self.data, start - 4)[0]
        tag = group << 16 | element
        if length == UNDEFINED:
            self.position = start
            return self._pass_undefined(frame, tag, vr)
        return self._pass_value(frame, tag, vr, (start, start + length))

    def _pass_value(
        self, frame: Frame, tag: int, vr: bytes, span: tuple[int, int]
    ) -> None:
        """Go over a value of defined length, or into the sequence it is."""
        start, stop = span
        if stop > frame.end:
            raise Malformed("an element is longer than what it lies in")
        if start == stop:
            self.empty_left -= 1
            if self.empty_left < 0:
                self.look()
        sure = vr == b"SQ" or (not vr and frame.has_sequence(tag))
        top = len(self._stack) == 1
        if stop - start > self.longest and not (sure or (top and tag in PIXEL_TAGS)):
            raise CannotUnderstand("an element is longer than max_element_bytes")
        if sure or (vr in SEQUENCE_VR and self._may_be_sequence(frame, tag, vr, span)):
            self.position = start
            return self._open(frame, vr, stop, guess=not sure)
        if tag >> 16 & 1 and tag & 0xFFFF in CREATOR_ELEMENTS:
            creator = self._bytes(start, min(stop, start + MAX_CREATOR_BYTES))
            frame.blocks.declare(tag, creator)
        self.position = stop
        if top:
            self._keep(frame, tag, start, stop)
        return None

    def _pass_padding(self, start: int, end: int) -> None:
        """Go to the end if there are but zeros, as some writers pad their files."""
        for position in range(start, end, len(_ZEROS)):
            part = self._bytes(position, min(end, position + len(_ZEROS)))
            if part != _ZEROS[: len(part)]:
                raise CannotUnderstand("the data set has elements of group 0000-0002")
            self.look()
        self.position = end

    def _keep(self, frame: Frame, tag: int, start: int, stop: int) -> None:
        """Keep a top-level value if it is wanted."""
        if tag in PIXEL_TAGS:
            if any(pixel.tag == tag for pixel in self.pixels):
                raise CannotUnderstand("a pixel element is there twice")
            self.pixels.append(
                PixelElement(tag=tag, start=start, end=stop, fragments=None)
            )
        elif tag in frame.wanted.tags:
            if tag in self.values:
                raise CannotUnderstand("an identifying element is there twice")
            self._value(tag, start, min(stop, start + _MAX_VALUE_BYTES))

    def _may_be_sequence(
        self, frame: Frame, tag: int, vr: bytes, span: tuple[int, int]
    ) -> bool:
        """Say whether a reader without a dictionary would see a sequence here."""
        start, stop = span
        if stop - start < 8 or (not vr and tag in DicomDictionary):
            return False
        return self._bytes(start, start + 4) in frame.encoding.item_bytes

    def _pass_undefined(self, frame: Frame, tag: int, vr: bytes) -> None:
        """Pass the fragments of pixel data, or go into a sequence without length."""
        if vr in (b"OB", b"OW") or tag in PIXEL_TAGS:
            self._pass_fragments(frame, tag)
        elif vr in SEQUENCE_VR:
            self._open(frame, vr, None, guess=False)
        else:
            raise Malformed("an element of this VR needs a length")

    def _pass_fragments(self, frame: Frame, tag: int) -> None:
        """Go over encapsulated fragments to behind their delimiter (PS3.5 A.4)."""
        start, end, items = self.position, frame.end, 0
        while self.position + 8 <= end:
            self._count()
            self._look(self.position, self.position + 8)
            group, element, length = frame.encoding.item(self.data, self.position)
            if group == DELIMITERS and element == SEQUENCE_END:
                if len(self._stack) == 1 and tag in PIXEL_TAGS:
                    self._keep(frame, tag, start, self.position)
                    self.pixels[-1] = replace(
                        self.pixels[-1], fragments=max(items - 1, 0)
                    )
                self.position += 8
                return
            if group != DELIMITERS or element != ITEM or length == UNDEFINED:
                raise Malformed("encapsulated pixel data holds something else")
            items += 1
            self.position += 8 + length
        raise Malformed("encapsulated pixel data has no end")


def _foreign_vr(vr: bytes) -> bytes:
    """Treat what is no VR as pydicom does: that element is in implicit VR."""
    if b"AA" <= vr <= b"ZZ":
        raise Malformed("an element has a VR that does not exist")
    return b""
