"""Annotations and images as people have them."""
