"""How a study fares on many GPUs: a simulation of its schedule with recorded durations."""
