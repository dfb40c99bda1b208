"""Keep track of the sequences that a walk is in."""

from dicom_node.core.errors import CannotUnderstand
from dicom_node.receive.layout import (
    DELIMITERS,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    ITEM,
    ITEM_END,
    SEQUENCE_END,
    UNDEFINED,
    VRS,
)
from dicom_node.receive.limits import ScanLimits
from dicom_node.receive.private import PrivateBlocks
from dicom_node.receive.progress import NOT_WANTED, Frame, Progress
from dicom_node.receive.view import Source


class Malformed(CannotUnderstand):
    """The bytes do not follow PS3.5 7.1; inside a guess this is no fault."""


class Nesting(Progress):
    """A walk's place among data set, sequences and items."""

    def __init__(self, source: Source, limits: ScanLimits) -> None:
        super().__init__(source, limits)
        self._stack: list[Frame] = []

    def _leave_guess(self, error: Malformed) -> None:
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

    def _look(self, start: int, stop: int) -> None:
        """Have the bytes at hand on which the way of the walk depends."""
        if stop > self.known:
            self.reach_all()

    def _bytes(self, start: int, stop: int) -> bytes:
        self._look(start, stop)
        return bytes(self.data[start:stop])

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
            self._look(self.position, self.position + 8)
            group, element, length = frame.encoding.item(self.data, self.position)
            self.position += 8
            if group != DELIMITERS or element != ITEM:
                closed = not frame.bounded or self.position == last
                if group != DELIMITERS or element != SEQUENCE_END or not closed:
                    raise Malformed("a sequence holds something else than items")
                self._stack.pop()
                return
            if length:
                return self._open_item(frame, length)
        if not frame.bounded or self.position != last:
            raise Malformed("a sequence has no end")
        self._stack.pop()

    def _open_item(self, frame: Frame, length: int) -> None:
        frame.defined = length != UNDEFINED
        frame.end = self.position + length if frame.defined else frame.last
        if frame.end > frame.last:
            raise Malformed("an item is longer than its sequence")
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
            raise Malformed("a delimiter stands where no item ends")
        self._next_item(frame)

    def _end_elements(self, frame: Frame) -> None:
        """Close a data set whose bytes are used up; some zeros may remain."""
        position, end = self.position, frame.end
        if position > end:
            raise Malformed("an element is longer than what it lies in")
        if not frame.defined or (position < end and any(self._bytes(position, end))):
            raise Malformed("the data set is cut off")
        self.position = end
        if len(self._stack) == 1:
            self._stack.pop()
        else:
            self._next_item(frame)
