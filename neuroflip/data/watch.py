"""Recorded smartwatch motion, and its encoding as spikes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroflip.circuit import Array, Index, _Data
from neuroflip.data.fetch import read
from neuroflip.units import as_float

RATE = 50.0
"""Samples a second (Hz) of every recording."""


@dataclass(frozen=True, eq=False)
class WatchData(_Data):
    """Shoulder exercises recorded with a smartwatch at the wrist, 50 samples a second.

    signals: one array a recording, shape (samples, 6).
    exercise: which of `exercises` each recording shows, shape (recordings,).
    exercises: names of the exercises.
    subject: who was recorded, 1 to 10, shape (recordings,).
    side: the arm, 0 left or 1 right, shape (recordings,).
    channels: names of the 6 channels: acceleration ax ay az, angular velocity wx wy wz.
    rate: samples a second (Hz).

    Split by `subject` when you train and test: recordings of one person resemble each other.
    """

    signals: tuple[Array, ...]
    exercise: Index
    exercises: tuple[str, ...]
    subject: Index
    side: Index
    channels: tuple[str, ...]
    rate: float = RATE

    def deviation(self, recordings: Sequence[int] | None = None) -> Array:
        """Standard deviation of each channel over all samples of these recordings; of all where
        None. Shape (channels,)."""
        chosen = range(len(self.signals)) if recordings is None else recordings
        samples = np.concatenate([self.signals[recording] for recording in chosen])
        spread: Array = samples.std(axis=0)
        return spread


def load_watch() -> WatchData:
    """The smartwatch recordings, from the cache that `neuroflip data fetch watch` fills.

    140 recordings, 20 of each exercise; 19 to 52 s each. Source and licence:
    `neuroflip.data.DATASETS["watch"]`.

    Raises FileNotFoundError where the data was not fetched, ValueError where the cache is
    damaged.
    """
    held = read("watch")
    return WatchData(
        signals=tuple(held["signals"]),
        exercise=held["exercise"],
        exercises=tuple(held["exercises"]),
        subject=held["subject"],
        side=held["side"],
        channels=tuple(held["channels"]),
    )


def send_on_delta(signal: Any, rate: float, threshold: Any) -> list[Array]:
    """Spike times of a sampled signal under send-on-delta encoding, ON and OFF apart.

    Each channel has a reference level, which is its first sample at the start. At every later
    sample k, with threshold d:

        ON   where signal[k] - reference >= d; then the reference rises by d
        OFF  where reference - signal[k] >= d; then the reference falls by d

    and an event is sent at time k/rate. At most one event per channel and sample is sent: after
    a jump of several d the reference lags, and follows by one d at each following sample until
    it is less than d away.

    So the signal can be rebuilt as its first sample plus d times (ON events - OFF events so
    far), with an error below d at every sample, wherever it moves by at most d from each sample
    to the next; what moves faster is followed at d*rate a second (slope overload).

    signal: samples, shape (samples, channels), at least one sample.
    rate: samples a second (Hz).
    threshold: d, in the unit of the signal; one number or one a channel.

    Returns 2*channels arrays of times (s): the ON events of each channel, then the OFF events of
    each. Raises ValueError for a signal of another shape or that is not finite, or for a rate or
    a threshold that is not above 0.

    >>> on, off = send_on_delta([[0.0], [1.0], [3.0], [3.0], [2.5], [1.9]], 10.0, 1.0)
    >>> on, off
    (array([0.1, 0.2, 0.3]), array([0.5]))
    """
    samples = _finite(signal, "signal")
    if samples.ndim != 2 or 0 in samples.shape:
        raise ValueError(
            f"send_on_delta: signal must have shape (samples, channels), at least one each; "
            f"got {samples.shape}."
        )
    rate = as_float(rate, "Hz", "send_on_delta: rate")
    if rate <= 0:
        raise ValueError(f"send_on_delta: rate must be above 0 Hz; got {rate!r}.")
    channels = samples.shape[1]
    deltas = _finite(threshold, "threshold")
    if deltas.shape not in ((), (channels,)):
        raise ValueError(
            f"send_on_delta: threshold must be one number or {channels}, one a channel; "
            f"got shape {deltas.shape}."
        )
    if deltas.min() <= 0:
        raise ValueError(f"send_on_delta: threshold must be above 0; got {float(deltas.min())!r}.")
    each = np.broadcast_to(deltas, (channels,))
    signs = [_signs(samples[:, c].tolist(), float(each[c])) for c in range(channels)]
    return [
        np.array([k for k, s in enumerate(row) if s == sign], dtype=np.float64) / rate
        for sign in (1, -1)
        for row in signs
    ]


def _signs(samples: list[float], delta: float) -> list[int]:
    """1, -1 or 0 at each sample of a channel: ON, OFF, no event."""
    level, signs = 0, []
    for sample in samples:
        away = sample - (samples[0] + level * delta)  # a sum of levels would drift by rounding
        sign = (away >= delta) - (away <= -delta)
        level += sign
        signs.append(sign)
    return signs


def _finite(values: Any, name: str) -> Array:
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"send_on_delta: {name} must be numbers; got {values!r}.") from None
    bad = np.argwhere(~np.isfinite(array))
    if bad.size:
        where = tuple(int(i) for i in bad[0])
        raise ValueError(
            f"send_on_delta: {name} must be finite; got {array[where]} at index {where}."
        )
    return array
