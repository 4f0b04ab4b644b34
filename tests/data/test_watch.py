"""The smartwatch recordings, and send-on-delta encoding."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroflip.data import WatchData, load_watch, send_on_delta


@pytest.fixture(scope="module")
def watch() -> WatchData:
    try:
        return load_watch()
    except FileNotFoundError as absent:
        pytest.skip(str(absent))


def test_the_recordings_are_those_described(watch: WatchData) -> None:
    assert len(watch.signals) == 140
    assert sum(len(signal) for signal in watch.signals) == 244_102
    assert {signal.shape[1] for signal in watch.signals} == {6}
    assert (min(map(len, watch.signals)), max(map(len, watch.signals))) == (947, 2618)
    assert all(np.isfinite(signal).all() for signal in watch.signals)
    assert watch.channels == ("ax", "ay", "az", "wx", "wy", "wz") and watch.rate == 50.0
    assert watch.exercises == ("PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW")
    assert np.bincount(watch.exercise).tolist() == [20] * 7
    # ten people, each with every exercise on both sides
    assert sorted(set(watch.subject.tolist())) == list(range(1, 11))
    who = np.stack([watch.exercise, watch.subject, watch.side], axis=1)
    assert len(np.unique(who, axis=0)) == 140 and set(watch.side.tolist()) == {0, 1}


def test_deviation_is_over_the_samples_of_the_recordings(watch: WatchData) -> None:
    pooled = np.concatenate(watch.signals)
    np.testing.assert_allclose(
        watch.deviation(), np.sqrt(((pooled - pooled.mean(0)) ** 2).mean(0)), rtol=1e-12
    )
    np.testing.assert_array_equal(watch.deviation([3]), watch.signals[3].std(axis=0))


def test_recorded_motion_is_rebuilt_from_its_events(watch: WatchData) -> None:
    """Where no sample moves by more than a threshold the error stays below it."""
    signal, threshold = watch.signals[0], np.full(6, 0.5)
    slow = np.abs(np.diff(signal, axis=0)).max(axis=0) <= threshold
    assert slow.sum() >= 3
    rebuilt = rebuild(send_on_delta(signal, 50.0, threshold), signal[0], threshold, len(signal))
    assert (np.abs(rebuilt - signal) < threshold * (1 + 1e-9)).all(axis=0)[slow].all()


def rebuild(events: list[Any], first: Any, threshold: Any, samples: int) -> Any:
    """The signal that events at 50 samples a second stand for."""
    channels = len(events) // 2
    changes = np.zeros((samples, channels))
    for channel in range(channels):
        for times, sign in ((events[channel], 1), (events[channels + channel], -1)):
            changes[np.rint(times * 50).astype(int), channel] += sign
    return first + threshold * np.cumsum(changes, axis=0)


def slow_events(column: list[float], delta: float) -> tuple[list[int], list[int]]:
    """Send-on-delta of one channel, as its definition reads; exact for multiples of 1/8."""
    on: list[int] = []
    off: list[int] = []
    reference = column[0]
    for k in range(1, len(column)):
        if column[k] - reference >= delta:
            on.append(k)
            reference = reference + delta
        elif reference - column[k] >= delta:
            off.append(k)
            reference = reference - delta
    return on, off


eighths = st.integers(-40, 40).map(lambda n: n / 8)


@given(
    st.integers(1, 3).flatmap(
        lambda channels: st.tuples(
            st.lists(
                st.lists(eighths, min_size=channels, max_size=channels), min_size=1, max_size=40
            ),
            st.lists(st.integers(1, 16).map(lambda n: n / 8), min_size=channels, max_size=channels),
        )
    )
)
def test_events_are_those_of_the_definition(drawn: tuple[list[list[float]], list[float]]) -> None:
    signal, thresholds = drawn
    events = send_on_delta(signal, 50.0, thresholds)
    channels = len(thresholds)
    assert len(events) == 2 * channels
    for channel, delta in enumerate(thresholds):
        on, off = slow_events([row[channel] for row in signal], delta)
        assert events[channel].tolist() == [k / 50 for k in on]
        assert events[channels + channel].tolist() == [k / 50 for k in off]


@given(
    st.floats(-1e3, 1e3),
    st.floats(1e-3, 1e3),
    st.lists(st.floats(-1, 1), max_size=200),
)
def test_a_slow_signal_is_rebuilt_within_the_threshold(
    first: float, threshold: float, moves: list[float]
) -> None:
    signal = first + threshold * np.cumsum([0.0, *moves])[:, None]
    events = send_on_delta(signal, 50.0, threshold)
    error = np.abs(rebuild(events, signal[0], threshold, len(signal)) - signal)
    assert error.max() < threshold + 1e-9 * (abs(first) + threshold)


def test_after_a_jump_the_events_follow_one_a_sample() -> None:
    on, off = send_on_delta([[0.0]] + [[3.5]] * 6 + [[1.4]] * 4, 10.0, 1.0)
    assert on.tolist() == [0.1, 0.2, 0.3]
    assert off.tolist() == [0.7]  # from a reference of 3


def test_one_threshold_serves_every_channel() -> None:
    signal = [[0.0, 0.0], [1.0, -1.0], [2.0, -2.0]]
    assert [e.tolist() for e in send_on_delta(signal, 10.0, 1.0)] == [
        [0.1, 0.2],
        [],
        [],
        [0.1, 0.2],
    ]
    assert [e.tolist() for e in send_on_delta(signal, 10.0, [1.0, 2.0])] == [
        [0.1, 0.2], [], [], [0.2],
    ]  # fmt: skip


def test_many_events_do_not_drift() -> None:
    """The reference is a multiple of the threshold: summing 0.1 ten thousand times misses 1000
    by 1.6e-10."""
    rise = [0.0] + [0.1 * k + 0.05 for k in range(1, 10_001)]
    on, off = send_on_delta([[sample] for sample in [*rise, 1000.1 + 1e-11]], 1.0, 0.1)
    assert on.tolist() == list(range(1, 10_002)) and off.size == 0


@pytest.mark.parametrize(
    ("signal", "threshold", "message"),
    [
        ([1.0, 2.0], 1.0, r"signal must have shape \(samples, channels\).*got \(2,\)"),
        (np.zeros((0, 6)), 1.0, r"signal must have shape .*at least one each; got \(0, 6\)"),
        ([[0.0], [np.nan]], 1.0, r"signal must be finite; got nan at index \(1, 0\)"),
        ([[0.0, np.inf]], 1.0, r"signal must be finite; got inf at index \(0, 1\)"),
        ([[0.0, 0.0]], [1.0, np.nan], r"threshold must be finite; got nan at index \(1,\)"),
        ([[0.0, 0.0]], 0.0, r"threshold must be above 0; got 0\.0"),
        ([[0.0, 0.0]], [1.0, -2.0], r"threshold must be above 0; got -2\.0"),
        ([[0.0, 0.0]], [1.0] * 3, r"threshold must be one number or 2.*got shape \(3,\)"),
        ([[0.0, 0.0]], [[1.0, 1.0]], r"threshold must be one number or 2.*got shape \(1, 2\)"),
        ([[0.0, 0.0]], [], r"threshold must be one number or 2.*got shape \(0,\)"),
    ],
)
def test_what_send_on_delta_refuses(signal: Any, threshold: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"send_on_delta: {message}"):
        send_on_delta(signal, 50.0, threshold)


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(TypeError, match="send_on_delta: signal must be numbers"):
        send_on_delta([["a"]], 50.0, 1.0)
    with pytest.raises(TypeError, match="send_on_delta: signal must be numbers"):
        send_on_delta([[0.0], [0.0, 1.0]], 50.0, 1.0)


@pytest.mark.parametrize("rate", [0.0, -50.0, np.nan])
def test_a_rate_must_be_above_zero(rate: float) -> None:
    with pytest.raises(ValueError, match="send_on_delta: rate must be"):
        send_on_delta([[0.0]], rate, 1.0)
