"""What the node remembers: SQLAlchemy lives here only, core types go in and out."""
