"""The checks of an audit: of what was kept, and of what was made of it."""
