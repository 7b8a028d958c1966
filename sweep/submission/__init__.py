"""From a sweep file to a queued sweep, and what it will cost."""
