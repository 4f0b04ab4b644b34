"""Memory tasks: functions that make trials, as tensors, from a seeded generator."""

from neuroflip.tasks.flip_flop import flip_flop as flip_flop
