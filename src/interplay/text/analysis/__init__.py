"""What goes on from an explanation of a text: its strongest segments in finer ones."""
