"""Sweeps as they are at one moment, for everything that only looks."""
