"""Walk over the elements of an encoded data set without recursion or copies.

The walk decides whether anything else may parse the bytes: every length is checked
against its parent, depth and number of elements are limited, and it takes the same
turns as pydicom where writers break the rules (PS3.5 7.1). It sees the same whether
the data set is in memory or only its head: it asks for the rest before it looks there.
"""

from typing import Final

from pydicom._dicom_dict import DicomDictionary

from dicom_node.core.errors import CannotUnderstand
from dicom_node.receive.layout import (
    CREATOR_ELEMENTS,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    ITEM,
    ITEM_BYTES,
    ITEM_END,
    LAYOUTS,
    LONG_VR,
    MAX_CREATOR_BYTES,
    PIXEL_TAGS,
    SEQUENCE_END,
    SEQUENCE_VR,
    SHORT_VR,
    UNDEFINED,
    VRS,
    Elements,
    Encoding,
    Frame,
    PixelElement,
    WalkLimits,
)
from dicom_node.receive.skim import (
    MAX_VALUE_BYTES,
    Progress,
    Wanted,
    skim_explicit,
    skim_implicit,
)
from dicom_node.receive.view import Source

_ZEROS: Final = bytes(1 << 16)


class _Malformed(CannotUnderstand):
    """The bytes do not follow PS3.5 7.1; inside a guess this is no fault."""


def walk(
    source: Source, encoding: Encoding, *, wanted: Wanted, limits: WalkLimits
) -> Elements:
    """Check the structure of a data set and find the wanted top-level values.

    Raises:
        CannotUnderstand: a length leaves its parent, a delimiter is missing, or a
            limit is reached.
    """
    return _Walk(Progress(source, wanted, limits), encoding).run()


class _Walk:
    def __init__(self, progress: Progress, encoding: Encoding) -> None:
        self._progress = progress
        self._source = progress.source
        self._limits = progress.limits
        self._stack = [Frame(encoding, progress.source.size, True, False)]

    def run(self) -> Elements:
        """Walk to the end of the data set."""
        stack = self._stack
        while stack:
            frame = stack[-1]
            try:
                if frame.items:
                    self._read_item(frame)
                else:
                    self._read_elements(frame)
            except _Malformed as error:
                self._leave_guess(error)
        return Elements(self._progress.values, tuple(self._progress.pixels))

    def _leave_guess(self, error: _Malformed) -> None:
        """Take the innermost guess for mere bytes and go on behind it."""
        while self._stack:
            frame = self._stack.pop()
            if frame.guess:
                self._progress.position = frame.end
                return
        raise error

    def _bytes(self, start: int, stop: int) -> bytes:
        if stop > self._source.known:
            self._source.reach_all()
        return bytes(self._source.data[start:stop])

    def _read_elements(self, frame: Frame) -> None:
        """Read elements until the data set ends or one opens a sequence."""
        progress, top = self._progress, len(self._stack) == 1
        skim = skim_explicit if frame.encoding.explicit else skim_implicit
        going = True
        while going:
            skim(progress, frame, top=top)
            if progress.position + 8 > frame.end:
                return self._end_elements(frame)
            going = self._read_element(frame)

    def _read_element(self, frame: Frame) -> bool:
        """Read one element; False if another frame is to be read on."""
        progress, position = self._progress, self._progress.position
        progress.count()
        header = self._bytes(position, min(position + 12, frame.end))
        layout = LAYOUTS[frame.encoding.little]
        group, element, length = layout.implicit.unpack_from(header)
        if group == 0xFFFE:
            self._end_item(frame, element)
            return False
        if group <= 2 and len(self._stack) == 1:
            self._pass_padding(position, frame.end)
            return True
        vr, start = b"", position + 8
        if frame.encoding.explicit:
            vr = header[4:6]
            if vr in SHORT_VR:
                length = layout.explicit.unpack_from(header)[3]
            elif vr in LONG_VR and len(header) == 12:
                length = layout.length.unpack_from(header, 8)[0]
                start += 4
            else:
                vr = _foreign_vr(vr)
        tag = group << 16 | element
        if length == UNDEFINED:
            progress.position = start
            return self._pass_undefined(frame, tag, vr)
        return self._pass_value(frame, tag, vr, (start, start + length))

    def _pass_value(
        self, frame: Frame, tag: int, vr: bytes, span: tuple[int, int]
    ) -> bool:
        """Go over a value of defined length; False if it is a sequence to read."""
        start, stop = span
        if stop > frame.end:
            raise _Malformed("an element is longer than what it lies in")
        top = len(self._stack) == 1
        if start == stop:
            self._progress.count(0, 1)
        sure = vr == b"SQ" or (not vr and frame.has_sequence(tag))
        if not sure and not (top and tag in PIXEL_TAGS):
            self._check_length(stop - start)
        if sure or (vr in SEQUENCE_VR and self._may_be_sequence(tag, vr, span)):
            self._open(frame, vr, span, guess=not sure)
            return False
        if tag >> 16 & 1 and tag & 0xFFFF in CREATOR_ELEMENTS:
            frame.declare(tag, self._bytes(start, min(stop, start + MAX_CREATOR_BYTES)))
        self._progress.position = stop
        if top:
            self._keep(tag, start, stop)
        return True

    def _check_length(self, length: int) -> None:
        if length > self._progress.longest:
            raise CannotUnderstand("an element is longer than max_element_bytes")

    def _pass_padding(self, start: int, end: int) -> None:
        """Go to the end if there are but zeros, as some writers pad their files."""
        for position in range(start, end, len(_ZEROS)):
            part = self._bytes(position, min(end, position + len(_ZEROS)))
            if part != _ZEROS[: len(part)]:
                # Group 0002 would be read as File Meta Information of our file.
                raise CannotUnderstand("the data set has elements of group 0000-0002")
            self._progress.look_at_clock()
        self._progress.position = end

    def _keep(self, tag: int, start: int, stop: int) -> None:
        """Keep a top-level value if it is wanted."""
        progress = self._progress
        if tag in PIXEL_TAGS:
            if any(pixel.tag == tag for pixel in progress.pixels):
                raise CannotUnderstand("a pixel element is there twice")
            progress.pixels.append(
                PixelElement(tag=tag, start=start, end=stop, fragments=None)
            )
        elif tag in progress.wanted.tags:
            if tag in progress.values:
                raise CannotUnderstand("an identifying element is there twice")
            value = self._bytes(start, min(stop, start + MAX_VALUE_BYTES))
            progress.values[tag] = value

    def _may_be_sequence(self, tag: int, vr: bytes, span: tuple[int, int]) -> bool:
        """Say whether a reader without a dictionary would see a sequence here."""
        start, stop = span
        if stop - start < 8 or (not vr and tag in DicomDictionary):
            return False
        return self._bytes(start, start + 4) in ITEM_BYTES

    def _open(
        self, frame: Frame, vr: bytes, span: tuple[int, int], *, guess: bool
    ) -> None:
        """Open a sequence of defined length."""
        unknown = vr == b"UN"
        encoding = IMPLICIT_LITTLE if unknown else frame.encoding
        self._progress.position = span[0]
        self._push(Frame(encoding, span[1], True, True, guess, unknown))

    def _pass_undefined(self, frame: Frame, tag: int, vr: bytes) -> bool:
        """Pass the fragments of pixel data, or open a sequence without length."""
        if vr in (b"OB", b"OW") or tag in PIXEL_TAGS:
            self._pass_fragments(frame, tag)
            return True
        if vr not in SEQUENCE_VR:
            raise _Malformed("an element of this VR needs a length")
        unknown = vr == b"UN"
        encoding = IMPLICIT_LITTLE if unknown else frame.encoding
        self._push(Frame(encoding, frame.end, False, True, False, unknown))
        return False

    def _push(self, frame: Frame) -> None:
        # A sequence and its item are two frames; the data set itself is one.
        if len(self._stack) > 2 * self._limits.max_depth:
            raise CannotUnderstand("sequences are nested too deep")
        self._stack.append(frame)

    def _pass_fragments(self, frame: Frame, tag: int) -> None:
        """Go over encapsulated fragments to behind their delimiter (PS3.5 A.4)."""
        progress, unpack = (
            self._progress,
            LAYOUTS[frame.encoding.little].implicit.unpack,
        )
        start = position = progress.position
        items = 0
        while position + 8 <= frame.end:
            progress.count()
            group, element, length = unpack(self._bytes(position, position + 8))
            item = group << 16 | element
            if item == SEQUENCE_END:
                if len(self._stack) == 1 and tag in PIXEL_TAGS:
                    self._keep(tag, start, position)
                    progress.pixels[-1] = PixelElement(
                        tag=tag, start=start, end=position, fragments=max(items - 1, 0)
                    )
                progress.position = position + 8
                return
            if item != ITEM or length == UNDEFINED:
                raise _Malformed("encapsulated pixel data holds something else")
            items += 1
            position += 8 + length
        raise _Malformed("encapsulated pixel data has no end")

    def _read_item(self, frame: Frame) -> None:
        """Open the next item of a sequence, or close the sequence."""
        progress = self._progress
        position = progress.position
        if frame.defined and position == frame.end:
            self._stack.pop()
            return
        if position + 8 > frame.end:
            raise _Malformed("a sequence has no end")
        progress.count()
        header = self._bytes(position, min(position + 14, frame.end))
        group, element, length = LAYOUTS[frame.encoding.little].implicit.unpack_from(
            header
        )
        tag = group << 16 | element
        progress.position = position + 8
        if tag == SEQUENCE_END and (
            not frame.defined or progress.position == frame.end
        ):
            self._stack.pop()
            return
        if tag != ITEM:
            raise _Malformed("a sequence holds something else than items")
        defined = length != UNDEFINED
        stop = progress.position + length if defined else frame.end
        if stop > frame.end:
            raise _Malformed("an item is longer than its sequence")
        explicit = frame.unknown and header[12:14] in VRS
        encoding = EXPLICIT_LITTLE if explicit else frame.encoding
        self._stack.append(Frame(encoding, stop, defined, False))

    def _end_item(self, frame: Frame, element: int) -> None:
        """Close a data set at its Item Delimitation Item."""
        position = self._progress.position + 8
        at_end = not frame.defined or position == frame.end
        if element != ITEM_END & 0xFFFF or not at_end or len(self._stack) == 1:
            raise _Malformed("a delimiter stands where no item ends")
        self._progress.position = position
        self._stack.pop()

    def _end_elements(self, frame: Frame) -> None:
        """Close a data set whose bytes are used up; padding with zeros may remain."""
        position = self._progress.position
        if position > frame.end:
            raise _Malformed("an element is longer than what it lies in")
        if not frame.defined or any(self._bytes(position, frame.end)):
            raise _Malformed("the data set is cut off")
        self._progress.position = frame.end
        self._stack.pop()


def _foreign_vr(vr: bytes) -> bytes:
    """Treat what is no VR as pydicom does: that element is in implicit VR."""
    if b"AA" <= vr <= b"ZZ":
        raise _Malformed("an element has a VR that does not exist")
    return b""
