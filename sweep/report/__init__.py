"""The report of a sweep: its data, its figures, its page."""
