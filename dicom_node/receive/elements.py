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
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    ITEM,
    ITEM_BYTES,
    ITEM_END,
    PIXEL_TAGS,
    SEQUENCE_END,
    SEQUENCE_VR,
    SHORT_VR,
    UNDEFINED,
    VRS,
    Elements,
    Encoding,
    PixelElement,
)
from dicom_node.receive.limits import ScanLimits
from dicom_node.receive.private import (
    CREATOR_ELEMENTS,
    MAX_CREATOR_BYTES,
    PrivateBlocks,
)
from dicom_node.receive.progress import NOT_WANTED, Frame, Progress, Wanted
from dicom_node.receive.skim import skim_explicit, skim_implicit
from dicom_node.receive.view import Source

_MAX_VALUE_BYTES: Final = 4096  # of a wanted value, the rest does not matter
_ZEROS: Final = bytes(1 << 16)


class _Malformed(CannotUnderstand):
    """The bytes do not follow PS3.5 7.1; inside a guess this is no fault."""


def walk(
    source: Source, encoding: Encoding, *, wanted: Wanted, limits: ScanLimits
) -> Elements:
    """Check the structure of a data set and find the wanted top-level values.

    Raises:
        CannotUnderstand: a length leaves its parent, a delimiter is missing, or a
            limit is reached.
    """
    return _Walk(source, limits).run(Frame(encoding, source.size, wanted))


class _Walk(Progress):
    def run(self, whole: Frame) -> Elements:
        """Walk to the end of the data set."""
        self._stack = stack = [whole]
        while stack:
            try:
                while stack:
                    frame = stack[-1]
                    if self.position == frame.end:
                        self._end_elements(frame)
                        continue
                    if frame.encoding.explicit:
                        skim_explicit(self, frame)
                    else:
                        skim_implicit(self, frame)
                    self._read_element(frame)
            except _Malformed as error:
                self._leave_guess(error)
        return Elements(self.values, tuple(self.pixels))

    def _leave_guess(self, error: _Malformed) -> None:
        """Take the innermost guess for mere bytes and go on behind it."""
        while self._stack:
            frame = self._stack.pop()
            if frame.guess:
                self.position = frame.last
                return
        raise error

    def _count(self) -> None:
        self.elements_left -= 1
        if self.elements_left < self.pause:
            self.look()

    def _bytes(self, start: int, stop: int) -> bytes:
        if stop > self.known:
            self.reach_all()
        return bytes(self.data[start:stop])

    def _read_element(self, frame: Frame) -> None:
        """Read one element, or close the data set that is open."""
        position = self.position
        if position + 8 > frame.end:
            return self._end_elements(frame)
        self._count()
        if position + 12 > self.known:
            self.reach_all()
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
            raise _Malformed("an element is longer than what it lies in")
        if start == stop:
            self.empty_left -= 1
            if self.empty_left < 0:
                self.look()
        sure = vr == b"SQ" or (not vr and frame.has_sequence(tag))
        top = len(self._stack) == 1
        if stop - start > self.longest and not (sure or (top and tag in PIXEL_TAGS)):
            raise CannotUnderstand("an element is longer than max_element_bytes")
        if sure or (vr in SEQUENCE_VR and self._may_be_sequence(tag, vr, span)):
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
            self.values[tag] = self._bytes(start, min(stop, start + _MAX_VALUE_BYTES))

    def _may_be_sequence(self, tag: int, vr: bytes, span: tuple[int, int]) -> bool:
        """Say whether a reader without a dictionary would see a sequence here."""
        start, stop = span
        if stop - start < 8 or (not vr and tag in DicomDictionary):
            return False
        return self._bytes(start, start + 4) in ITEM_BYTES

    def _pass_undefined(self, frame: Frame, tag: int, vr: bytes) -> None:
        """Pass the fragments of pixel data, or go into a sequence without length."""
        if vr in (b"OB", b"OW") or tag in PIXEL_TAGS:
            self._pass_fragments(frame, tag)
        elif vr in SEQUENCE_VR:
            self._open(frame, vr, None, guess=False)
        else:
            raise _Malformed("an element of this VR needs a length")

    def _open(self, parent: Frame, vr: bytes, stop: int | None, *, guess: bool) -> None:
        """Open the sequence whose first item begins here; None is without length."""
        if len(self._stack) > self.limits.max_depth:
            raise CannotUnderstand("sequences are nested too deep")
        unknown = vr == b"UN"
        frame = Frame(
            IMPLICIT_LITTLE if unknown else parent.encoding,
            parent.end if stop is None else stop,
            NOT_WANTED,
        )
        frame.bounded, frame.guess, frame.unknown = stop is not None, guess, unknown
        frame.depth = len(self._stack)
        self._stack.append(frame)
        self._next_item(frame)

    def _next_item(self, frame: Frame) -> None:
        """Open the next item of a sequence, or close the sequence."""
        last = frame.last
        while self.position + 8 <= last:
            self._count()
            if self.position + 8 > self.known:
                self.reach_all()
            group, element, length = frame.encoding.item(self.data, self.position)
            self.position += 8
            if group != DELIMITERS or element != ITEM:
                closed = not frame.bounded or self.position == last
                if group != DELIMITERS or element != SEQUENCE_END or not closed:
                    raise _Malformed("a sequence holds something else than items")
                self._stack.pop()
                return
            if length:
                return self._open_item(frame, length)
        if not frame.bounded or self.position != last:
            raise _Malformed("a sequence has no end")
        self._stack.pop()

    def _open_item(self, frame: Frame, length: int) -> None:
        frame.defined = length != UNDEFINED
        frame.end = self.position + length if frame.defined else frame.last
        if frame.end > frame.last:
            raise _Malformed("an item is longer than its sequence")
        frame.blocks = PrivateBlocks()
        if frame.unknown:
            start = self.position + 4
            vr = self._bytes(start, min(start + 2, frame.end))
            frame.encoding = EXPLICIT_LITTLE if vr in VRS else IMPLICIT_LITTLE

    def _end_item(self, frame: Frame, element: int) -> None:
        """Close an item at its Item Delimitation Item."""
        self.position += 8
        at_end = not frame.defined or self.position == frame.end
        if element != ITEM_END or not at_end or len(self._stack) == 1:
            raise _Malformed("a delimiter stands where no item ends")
        self._next_item(frame)

    def _end_elements(self, frame: Frame) -> None:
        """Close a data set whose bytes are used up; some zeros may remain."""
        position, end = self.position, frame.end
        if position > end:
            raise _Malformed("an element is longer than what it lies in")
        if not frame.defined or (position < end and any(self._bytes(position, end))):
            raise _Malformed("the data set is cut off")
        self.position = end
        if len(self._stack) == 1:
            self._stack.pop()
        else:
            self._next_item(frame)

    def _pass_fragments(self, frame: Frame, tag: int) -> None:
        """Go over encapsulated fragments to behind their delimiter (PS3.5 A.4)."""
        start, end, items = self.position, frame.end, 0
        while self.position + 8 <= end:
            self._count()
            if self.position + 8 > self.known:
                self.reach_all()
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
                raise _Malformed("encapsulated pixel data holds something else")
            items += 1
            self.position += 8 + length
        raise _Malformed("encapsulated pixel data has no end")


def _foreign_vr(vr: bytes) -> bytes:
    """Treat what is no VR as pydicom does: that element is in implicit VR."""
    if b"AA" <= vr <= b"ZZ":
        raise _Malformed("an element has a VR that does not exist")
    return b""
