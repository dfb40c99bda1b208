"""Deliver: reports to PACS and folders, and files to an application entity."""
