"""One file a figure: its data, then its drawing."""
