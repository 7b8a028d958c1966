"""What is in our tables at one moment, for everything that only looks."""
