"""Reading stored files for their headers; see `part10`, where others read too."""

from dicom_node.part10.reading import UNREADABLE, hushed, read_header, text_of

__all__ = ["UNREADABLE", "hushed", "read_header", "text_of"]
