"""Walk over the elements of an encoded data set without recursion or copies.

The walk decides whether anything else may parse the bytes: every length is checked
against its parent, depth and number of elements are limited, and it takes the same
turns as pydicom where writers break the rules (PS3.5 7.1).
"""

from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import private_dictionary_VR

from dicom_node.core.errors import CannotUnderstand
from dicom_node.receive.layout import (
    IMPLICIT_LITTLE,
    ITEM,
    ITEM_END,
    LAYOUTS,
    LONG_VR,
    PIXEL_TAGS,
    SEQUENCE_END,
    SEQUENCE_TAGS,
    SEQUENCE_VR,
    SHORT_VR,
    UNDEFINED,
    VRS,
    Elements,
    Encoding,
    Frame,
    Layout,
    PixelElement,
    WalkLimits,
)


class _Malformed(CannotUnderstand):
    """The bytes do not follow PS3.5 7.1; inside a guess this is no fault."""


def walk(
    data: bytes, encoding: Encoding, *, wanted: frozenset[int], limits: WalkLimits
) -> Elements:
    """Check the structure of a data set and find the wanted top-level values.

    Raises:
        CannotUnderstand: a length leaves its parent, a delimiter is missing, or a
            limit is reached.
    """
    return _Walk(data, encoding, wanted, limits).run()


class _Walk:
    def __init__(
        self,
        data: bytes,
        encoding: Encoding,
        wanted: frozenset[int],
        limits: WalkLimits,
    ) -> None:
        self._data = data
        self._wanted = wanted | PIXEL_TAGS
        self._limits = limits
        self._position = 0
        self._left = limits.max_elements
        self._empty_left = limits.max_empty_elements
        self._values: dict[int, tuple[int, int]] = {}
        self._pixels: list[PixelElement] = []
        self._stack = [Frame(encoding, len(data), defined=True, items=False)]

    def run(self) -> Elements:
        """Walk to the end of the data set."""
        while self._stack:
            frame = self._stack[-1]
            try:
                if frame.items:
                    self._read_item(frame)
                else:
                    self._read_elements(frame)
            except _Malformed as error:
                self._leave_guess(error)
        return Elements(self._values, tuple(self._pixels))

    def _leave_guess(self, error: _Malformed) -> None:
        """Take the innermost guess for mere bytes and go on behind it."""
        while self._stack:
            frame = self._stack.pop()
            if frame.guess:
                self._position = frame.end
                return
        raise error

    def _read_elements(self, frame: Frame) -> None:
        """Read elements until the data set ends or one opens a sequence."""
        layout = LAYOUTS[frame.encoding.little]
        explicit, end = frame.encoding.explicit, frame.end
        data, top, wanted = self._data, len(self._stack) == 1, self._wanted
        position = self._position
        while position + 8 <= end:
            self._left -= 1  # not _count(): this line runs for every element
            if self._left < 0:
                raise CannotUnderstand("the data set has too many elements")
            group, element, length = layout.implicit.unpack_from(data, position)
            if group == 0xFFFE:
                return self._end_item(frame, element, position + 8)
            vr, start = b"", position + 8
            if explicit:
                vr = data[position + 4 : position + 6]
                if vr in SHORT_VR:
                    length = layout.explicit.unpack_from(data, position)[3]
                elif vr in LONG_VR and position + 12 <= end:
                    length = layout.length.unpack_from(data, start)[0]
                    start += 4
                else:
                    vr = _foreign_vr(vr)
            tag = group << 16 | element
            stop = start + length
            if length == UNDEFINED:
                self._position = start
                if self._open_undefined(frame, tag, vr):
                    return None
                position = self._position
                continue
            if stop > end:
                raise _Malformed("an element is longer than what it lies in")
            if not length:
                self._count_empty()
            if vr in SEQUENCE_VR and self._opens(frame, tag, vr, (start, stop)):
                return None
            if group & 1 and 0x10 <= element <= 0xFF:
                frame.creators[tag] = data[start : min(stop, start + 64)]
            if top and (tag in wanted or group <= 2):
                if tag == 0 and data.count(0, position, end) == end - position:
                    position = end  # padding behind the last element
                    break
                self._keep(tag, start, stop)
            position = stop
        self._position = position
        return self._end_elements(frame)

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise CannotUnderstand("the data set has too many elements")

    def _count_empty(self) -> None:
        self._empty_left -= 1
        if self._empty_left < 0:
            raise CannotUnderstand("the data set has too many empty elements")

    def _keep(self, tag: int, start: int, stop: int) -> None:
        if tag >> 16 <= 2:
            # Group 0002 would be read as File Meta Information of our file.
            raise CannotUnderstand("the data set has elements of group 0000 or 0002")
        if tag in self._values:
            raise CannotUnderstand("an identifying element is there twice")
        self._values[tag] = (start, stop)
        if tag in PIXEL_TAGS:
            self._pixels.append(
                PixelElement(tag=tag, start=start, end=stop, fragments=None)
            )

    def _opens(self, frame: Frame, tag: int, vr: bytes, span: tuple[int, int]) -> bool:
        """Open a sequence of defined length; False if the value is mere bytes."""
        start, stop = span
        sure = vr == b"SQ" or (not vr and self._known_sequence(frame, tag))
        if not sure:
            # Only what a reader without a dictionary would take for a sequence.
            known = not vr and tag in DicomDictionary
            item = self._data[start : start + 4]
            if known or item not in (LAYOUTS[True].item, _layout(frame).item):
                return False
        self._position = start
        encoding = IMPLICIT_LITTLE if vr == b"UN" else frame.encoding
        self._push(
            Frame(
                encoding,
                stop,
                defined=True,
                items=True,
                guess=not sure,
                unknown=vr == b"UN",
            )
        )
        return True

    def _known_sequence(self, frame: Frame, tag: int) -> bool:
        if not tag >> 16 & 1:
            return tag in SEQUENCE_TAGS
        creator = frame.creators.get(tag & 0xFFFF0000 | tag >> 8 & 0xFF)
        if creator is None:
            return False
        name = creator.rstrip(b" \0").decode("latin-1")
        try:
            return bool(private_dictionary_VR(tag, name) == "SQ")
        except KeyError:
            return False

    def _open_undefined(self, frame: Frame, tag: int, vr: bytes) -> bool:
        """Open a sequence without length, or pass the fragments of pixel data."""
        if vr in (b"OB", b"OW") or tag in PIXEL_TAGS:
            self._pass_fragments(frame, tag)
            return False
        if vr not in SEQUENCE_VR:
            raise _Malformed("an element of this VR needs a length")
        unknown = vr == b"UN"
        encoding = IMPLICIT_LITTLE if unknown else frame.encoding
        self._push(
            Frame(encoding, frame.end, defined=False, items=True, unknown=unknown)
        )
        return True

    def _push(self, frame: Frame) -> None:
        # A sequence and its item are two frames; the data set itself is one.
        if len(self._stack) > 2 * self._limits.max_depth:
            raise CannotUnderstand("sequences are nested too deep")
        self._stack.append(frame)

    def _pass_fragments(self, frame: Frame, tag: int) -> None:
        """Go over encapsulated fragments to behind their delimiter (PS3.5 A.4)."""
        unpack = _layout(frame).implicit.unpack_from
        start = position = self._position
        items = 0
        while position + 8 <= frame.end:
            self._count()
            group, element, length = unpack(self._data, position)
            item = group << 16 | element
            if item == SEQUENCE_END:
                if len(self._stack) == 1 and tag in PIXEL_TAGS:
                    self._keep(tag, start, position)
                    self._pixels[-1] = PixelElement(
                        tag=tag, start=start, end=position, fragments=max(items - 1, 0)
                    )
                self._position = position + 8
                return
            if item != ITEM or length == UNDEFINED:
                raise _Malformed("encapsulated pixel data holds something else")
            items += 1
            position += 8 + length
        raise _Malformed("encapsulated pixel data has no end")

    def _read_item(self, frame: Frame) -> None:
        """Open the next item of a sequence, or close the sequence."""
        position = self._position
        if frame.defined and position == frame.end:
            self._stack.pop()
            return
        if position + 8 > frame.end:
            raise _Malformed("a sequence has no end")
        self._count()
        group, element, length = _layout(frame).implicit.unpack_from(
            self._data, position
        )
        tag = group << 16 | element
        self._position = position + 8
        if tag == SEQUENCE_END and (not frame.defined or self._position == frame.end):
            self._stack.pop()
            return
        if tag != ITEM:
            raise _Malformed("a sequence holds something else than items")
        defined = length != UNDEFINED
        stop = self._position + length if defined else frame.end
        if stop > frame.end:
            raise _Malformed("an item is longer than its sequence")
        encoding = frame.encoding
        if frame.unknown and self._data[position + 12 : position + 14] in VRS:
            encoding = Encoding(explicit=True, little=True)
        self._stack.append(Frame(encoding, stop, defined=defined, items=False))

    def _end_item(self, frame: Frame, element: int, position: int) -> None:
        """Close a data set at its Item Delimitation Item."""
        at_end = not frame.defined or position == frame.end
        if element != ITEM_END & 0xFFFF or not at_end or len(self._stack) == 1:
            raise _Malformed("a delimiter stands where no item ends")
        self._position = position
        self._stack.pop()

    def _end_elements(self, frame: Frame) -> None:
        """Close a data set whose bytes are used up; padding with zeros may remain."""
        if not frame.defined or any(self._data[self._position : frame.end]):
            raise _Malformed("the data set is cut off")
        self._position = frame.end
        self._stack.pop()


def _layout(frame: Frame) -> Layout:
    return LAYOUTS[frame.encoding.little]


def _foreign_vr(vr: bytes) -> bytes:
    """Treat what is no VR as pydicom does: that element is in implicit VR."""
    if b"AA" <= vr <= b"ZZ":
        raise _Malformed("an element has a VR that does not exist")
    return b""
