"""One trial: its job, its trainer, its child process. Never sees the database."""
