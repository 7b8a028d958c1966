"""Starting workers: on this machine, on a cluster."""
