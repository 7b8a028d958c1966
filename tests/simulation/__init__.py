"""Workers, users and faults on one virtual clock, all drawn from one seed."""
