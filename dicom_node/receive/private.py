"""Which private elements are sequences, where implicit VR does not say so."""

from collections.abc import Set
from typing import Final

from pydicom._private_dict import private_dictionaries

from dicom_node.core.errors import CannotUnderstand

# Elements (gggg,0010-00FF) of an odd group say whose its elements are (PS3.5 7.8.1).
CREATOR_ELEMENTS: Final = frozenset(range(0x10, 0x100))
MAX_CREATOR_BYTES: Final = 64
_MAX_CREATORS: Final = 1000  # a scanner's image has ten

# By creator: which of its elements are sequences, where any is.
_KNOWN: Final = {
    creator.encode("latin-1"): {key: entry[0] == "SQ" for key, entry in entries.items()}
    for creator, entries in private_dictionaries.items()
    if any(entry[0] == "SQ" for entry in entries.values())
}
_LOW_BYTES: Final = {
    creator: frozenset(int(key[-2:], 16) for key, sequence in keys.items() if sequence)
    for creator, keys in _KNOWN.items()
}


class PrivateBlocks:
    """The private creators of one data set that are known to have sequences."""

    __slots__ = ("_creators", "_notable")

    def __init__(self) -> None:
        self._creators: dict[int, bytes] = {}
        self._notable: dict[int, set[int]] = {}

    def copy(self) -> "PrivateBlocks":
        """Return blocks of their own with the same creators."""
        other = PrivateBlocks()
        for tag, name in self._creators.items():
            other.declare(tag, name)
        return other

    def declare(self, tag: int, value: bytes) -> None:
        """Take a private creator to be the one of its block from here on.

        Raises:
            CannotUnderstand: there are more than any scanner writes.
        """
        name = value.rstrip(b" \0")
        if name not in _KNOWN:
            if self._creators:
                self._creators.pop(tag, None)
            return
        self._creators[tag] = name
        if len(self._creators) > _MAX_CREATORS:
            raise CannotUnderstand("the data set has too many private creators")
        block = (tag & 0xFF) << 8
        found = self._notable.setdefault(tag >> 16, set(CREATOR_ELEMENTS))
        found.update(block | low for low in _LOW_BYTES[name])

    def notable(self, group: int) -> Set[int]:
        """Return the elements of private creators and those that may be sequences."""
        return self._notable.get(group, CREATOR_ELEMENTS)

    def has_sequence(self, tag: int) -> bool:
        """Say whether pydicom's private dictionary has a sequence under this tag."""
        creator = self._creators.get(tag & 0xFFFF0000 | tag >> 8 & 0xFF)
        if creator is None:
            return False
        group, element = f"{tag >> 16:04X}", f"{tag & 0xFFFF:04X}"
        entries = _KNOWN[creator]
        for key in (
            group + element,
            f"{group}xx{element[2:]}",
            f"{group[:2]}xxxx{element[2:]}",
        ):
            if key in entries:
                return entries[key]
        return False
