"""Measurements of the spiking engines next to Brian2: `neuroflip bench spiking`."""
