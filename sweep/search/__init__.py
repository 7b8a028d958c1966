"""The samplers and pruners that a sweep file may name."""
