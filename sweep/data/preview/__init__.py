"""What was read, fixed and written: for programs and for the eye."""
