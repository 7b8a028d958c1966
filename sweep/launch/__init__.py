"""Starting workers: on this machine, on a cluster. One file an engine, one line in `launchers`."""
