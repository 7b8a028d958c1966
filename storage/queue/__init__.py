"""The queue of budgeted trials: sweeps, stages, slots, their leases and their epochs."""
