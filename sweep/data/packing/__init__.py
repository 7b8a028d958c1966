"""The files of a prepared dataset."""
