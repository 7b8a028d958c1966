"""The database of a sweep and the files its trials leave behind."""
