"""The process that a training runs in, seen from inside and from its supervisor."""
