"""Which image goes to training, validation and test."""
