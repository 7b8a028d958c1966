"""Files of users and of ours: read, checked, fetched, written whole."""
