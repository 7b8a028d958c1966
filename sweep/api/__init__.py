"""What `import sweep` offers to programs, and the command line is made of."""
