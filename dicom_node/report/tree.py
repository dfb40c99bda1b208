"""The content tree of an SR document, walked."""

from collections.abc import Iterator

from pydicom.dataset import Dataset


def content_items(item: Dataset) -> Iterator[Dataset]:
    """Yield a content item and all below it, in the order of the document."""
    yield item
    for child in item.get("ContentSequence") or ():
        yield from content_items(child)
