"""The sweep file: what a sweep is asked to do."""
