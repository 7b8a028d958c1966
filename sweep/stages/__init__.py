"""The kinds of stages that a sweep is made of."""
