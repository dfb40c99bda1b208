"""Demo: a stand-in PACS, the images it sends, and a check of what comes back."""
