"""The AI node that hospitals plug into their PACS."""

__version__ = "0.1.0"
