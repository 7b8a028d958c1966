"""A worker: claims slots, has their trials trained, settles them, opens the next stage."""
