"""What drives a run: spike times in steps, Poisson draws, currents."""

# The tables of refusals quote whole messages.
# ruff: noqa: E501

import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neuroflip as nf
from neuroflip.inputs import Drive, _by_step, resolve, whole_steps
from neuroflip.parameters import equal
from neuroflip.units import nA

DT = 1e-4
CIRCUIT = nf.Circuit(
    "c",
    [nf.Population("A", nf.LIF()), nf.Population("B", nf.DeltaLIF(), 3)],
    inputs=[
        nf.SpikeInput("one"),
        nf.SpikeInput("two", 2),
        nf.PoissonInput("noise", 100.0, 2),
        nf.CurrentInput("ia", "A"),
        nf.CurrentInput("ib", "B"),
        nf.CurrentInput("also ib", "B"),
    ],
)


def drive(
    given: Any = None, steps: int = 100, dt: float = DT, seed: int = 0, **options: Any
) -> Drive:
    [found] = resolve(CIRCUIT, given or {}, steps, dt, seed, None, **options)
    return found


def events(found: Drive, name: str) -> list[tuple[int, int]]:
    at, sources = found.events[name]
    assert at.dtype == sources.dtype == np.int64
    return list(zip(at.tolist(), sources.tolist(), strict=True))


# ------------------------------------------------------------------ binning


@pytest.mark.parametrize("dt", [1e-4, 5e-5, 2.5e-5, 1e-3, 1e-5, 1 / 3 * 1e-3, 0.7e-4])
def test_a_multiple_of_the_step_lies_in_its_step(dt: float) -> None:
    """However the multiple was rounded: k*dt, k/n, sums of dt, one ulp to either side."""
    k = np.arange(100_001)
    assert np.array_equal(whole_steps(k * dt, dt), k)
    assert np.array_equal(whole_steps(np.nextafter(k * dt, -1), dt), k)
    assert np.array_equal(whole_steps(np.nextafter(k * dt, 1e9), dt), k)
    assert np.array_equal(whole_steps(np.cumsum(np.full(100_000, dt)), dt), k[1:])
    if dt == 1e-4:
        assert np.array_equal(whole_steps(k / 10_000, dt), k)
        assert np.array_equal(whole_steps(np.round(k * dt, 4), dt), k)


@pytest.mark.parametrize(
    ("time", "step"),
    [(0.0, 0), (0.5, 0), (0.9985, 0), (0.9995, 1), (1.0, 1), (1.998, 1), (1.9995, 2), (-0.0005, 0)],
)
def test_a_time_within_a_step_lies_in_it(time: float, step: int) -> None:
    """Brian2: int((t + 1e-3 dt)/dt), semantics notes 5.1."""
    assert whole_steps(time * DT, DT) == step
    assert type(whole_steps(time * DT, DT)) is int


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.floats(1e-6, 1e-2), st.integers(0, 10**7), st.floats(0.002, 0.998))
def test_binning_of_any_step_size(dt: float, k: int, inside: float) -> None:
    """k + inside steps lie in step k: over an hour at 0.1 ms the tolerance is far above rounding."""
    assert whole_steps((k + inside) * dt, dt) == k
    assert whole_steps(k * dt, dt) == k


# ------------------------------------------------------------------ spike inputs


def test_spikes_are_sorted_by_step_then_source() -> None:
    found = drive({"one": [3e-4, 1e-4, 2e-4], "two": [[5e-4, 1e-4], [1e-4, 0.0]]})
    assert events(found, "one") == [(1, 0), (2, 0), (3, 0)]
    assert events(found, "two") == [(0, 1), (1, 0), (1, 1), (5, 0)]


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ([], [[], []]),
        ((), ((), ())),
        (np.array([]), [np.array([]), np.array([])]),
        ([[]], [[], ()]),
        ([np.array([])], np.zeros((2, 0))),
    ],
    ids=repr,
)
def test_silence_in_every_form(one: Any, two: Any) -> None:
    found = drive({"one": one, "two": two})
    assert events(found, "one") == events(found, "two") == []


@pytest.mark.parametrize(
    "one", [[1e-4, 3e-4], (1e-4, 3e-4), np.array([1e-4, 3e-4]), [[1e-4, 3e-4]], [(1e-4, 3e-4)],
            np.array([[1e-4, 3e-4]]), [np.array([1e-4, 3e-4])], [np.float64(1e-4), 3e-4]], ids=repr,
)  # fmt: skip
def test_spikes_of_one_source_in_every_form(one: Any) -> None:
    assert events(drive({"one": one}), "one") == [(1, 0), (3, 0)]


@pytest.mark.parametrize(
    "two",
    [
        [[1e-4, 3e-4], [2e-4]],
        [[2e-4], []],
        [[], [2e-4, 5e-4, 7e-4]],
        (np.array([1e-4]), np.array([2e-4, 4e-4])),
        [[1e-4], (2e-4, 3e-4)],
    ],
    ids=repr,
)
def test_sources_may_send_different_numbers_of_spikes(two: Any) -> None:
    expected = sorted((round(t / DT), i) for i, train in enumerate(two) for t in train)
    assert events(drive({"two": two}), "two") == expected


def test_brian2_spike_times() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from brian2 import ms, mV
    found = drive({"one": [1, 2] * ms, "two": [[3] * ms, [4 * ms, 5 * ms]]})
    assert events(found, "one") == [(10, 0), (20, 0)]
    assert events(found, "two") == [(30, 0), (40, 1), (50, 1)]
    with pytest.raises(ValueError, match=r"^inputs\['one'\] must be in s"):
        drive({"one": [1, 2] * mV})


SPIKES_REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "text": ({"one": "0.1"}, TypeError, "inputs['one'] must be spike times in s; got '0.1'."),
    "number": ({"one": 0.1}, TypeError, "inputs['one'] must be spike times in s; got 0.1."),
    "array number": ({"one": np.array(0.1)}, TypeError, "inputs['one'] must be spike times in s; got"),
    "none": ({"one": None}, TypeError, "inputs['one'] must be spike times in s; got None."),
    "set": ({"one": {0.1}}, TypeError, "inputs['one'] must be spike times in s; got {0.1}."),
    "text times": ({"one": ["a"]}, TypeError, "inputs['one'] must be numbers in s; got ['a']."),
    "nan": ({"one": [0.0, math.nan]}, ValueError, "inputs['one'] must be finite numbers in s; got nan at"),
    "inf": ({"two": [[0.0], [math.inf]]}, ValueError, "inputs['two'] must be finite numbers in s; got inf"),
    "flat": ({"two": [0.0, 1e-3]}, ValueError, "inputs['two']: the times of source 0 must be a list; got"),
    "flat three": (
        {"two": [0.0, 1e-4, 2e-4]}, ValueError,
        "inputs['two'] must hold one list of spike times for each of its 2 sources; got 3."),
    "too few": (
        {"two": [[0.0]]}, ValueError,
        "inputs['two'] must hold one list of spike times for each of its 2 sources; got 1."),
    "empty": (
        {"two": []}, ValueError,
        "inputs['two'] must hold one list of spike times for each of its 2 sources; got 0."),
    "too many": (
        {"one": [[0.0], [1e-3]]}, ValueError,
        "inputs['one'] must hold one list of spike times for each of its 1 sources; got 2."),
    "deep": ({"one": [[[0.0]]]}, ValueError, "inputs['one']: the times of source 0 must be a list; got"),
    "negative": (
        {"one": [-1e-4]}, ValueError,
        "inputs['one']: spike times must lie within the run, 0 to 0.01 s; got"),
    "at the end": (
        {"one": [0.0, 0.01]}, ValueError,
        "inputs['one']: spike times must lie within the run, 0 to 0.01 s; got"),
    "nearly at the end": (
        {"one": [0.0099999]}, ValueError,  # within the tolerance of the end, so in the step after it
        "inputs['one']: spike times must lie within the run, 0 to 0.01 s; got"),
    "far": ({"one": [1e300]}, ValueError, "inputs['one']: spike times must lie within the run"),
    "far back": ({"one": [-1e300]}, ValueError, "inputs['one']: spike times must lie within the run"),
    "twice": (
        {"one": [2e-4, 5e-4, 5e-4]}, ValueError,
        "inputs['one']: source 0 has two spikes in the step of 0.0001 s at 0.0005 s; a source sends at"),
    "twice in a step": (
        {"two": [[], [5.9e-4, 1e-4, 5.1e-4]]}, ValueError,
        "inputs['two']: source 1 has two spikes in the step of 0.0001 s at 0.0005 s; a source sends at"),
    "unknown": ({"tow": [0.0]}, ValueError, "circuit 'c' has no input 'tow'; did you mean 'two'?"),
    "population": ({"A": [0.0]}, ValueError, "circuit 'c' has no input 'A'; known: one, two, noise"),
    "no name": ({3: [0.0]}, ValueError, "circuit 'c' has no input 3; "),
}  # fmt: skip


@pytest.mark.parametrize("case", SPIKES_REFUSED)
def test_spikes_refused(case: str) -> None:
    given, error, message = SPIKES_REFUSED[case]
    with pytest.raises(error) as caught:
        drive(given)
    assert type(caught.value) is error
    assert str(caught.value).startswith(message)
    assert "np." not in str(caught.value), "a number is shown as a number"


def test_two_spikes_in_neighbouring_steps_are_fine() -> None:
    assert events(drive({"one": [5e-4, 6e-4]}), "one") == [(5, 0), (6, 0)]
    assert events(drive({"one": [5.99e-4, 6e-4]}, dt=1e-6, steps=1000), "one") == [
        (599, 0),
        (600, 0),
    ]


def test_all_spikes_of_all_sources() -> None:
    """A source in every step, as `rec.inputs` gives it back."""
    k = np.arange(1000)
    found = drive({"two": [k * DT, k[::2] * DT]}, steps=1000)
    assert events(found, "two") == sorted([(i, 0) for i in k] + [(i, 1) for i in k[::2]])


# ------------------------------------------------------------------ trials


def test_one_dictionary_a_trial() -> None:
    found = resolve(CIRCUIT, [{"one": [0.0]}, {"one": [1e-4]}, {}], 10, DT, 0, None)
    assert [events(d, "one") for d in found] == [[(0, 0)], [(1, 0)], []]
    found = resolve(CIRCUIT, {"one": [0.0]}, 10, DT, 0, 3)
    assert [events(d, "one") for d in found] == [[(0, 0)]] * 3


@pytest.mark.parametrize(
    ("inputs", "trials", "message"),
    [
        ([{}, {}], 3, r"^inputs must be a dictionary or one a trial; got 2 for 3 trial\(s\)\.$"),
        (
            [],
            None,
            r"^inputs must be a dictionary or one a trial; got 0 for at least 1 trial\(s\)\.$",
        ),
        ([{"one": []}, {"onw": []}], None, "^circuit 'c' has no input 'onw'; did you mean 'one'?"),
    ],
)
def test_lists_of_inputs_refused(inputs: Any, trials: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve(CIRCUIT, inputs, 10, DT, 0, trials)


@pytest.mark.parametrize("inputs", [[0.1, 0.2], "one", 3, [None], [["one"]]], ids=repr)
def test_inputs_of_another_kind_are_refused_by_name(inputs: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="^inputs must be"):
        resolve(CIRCUIT, inputs, 10, DT, 0, None)


# ------------------------------------------------------------------ Poisson


def poisson(
    rate: float, size: int = 1, name: str = "p", *, steps: int, dt: float = DT, seed: int = 0,
    trials: int = 1,
) -> list[list[tuple[int, int]]]:  # fmt: skip
    circuit = nf.Circuit(
        "c", [nf.Population("A", nf.LIF())], inputs=[nf.PoissonInput(name, rate, size)]
    )
    return [events(d, name) for d in resolve(circuit, {}, steps, dt, seed, trials)]


@pytest.mark.parametrize("seed", [0, 1, 2**40])
@pytest.mark.parametrize(("rate", "dt"), [(5.0, 1e-4), (200.0, 1e-4), (400.0, 1e-3)])
def test_poisson_rate_and_independence(rate: float, dt: float, seed: int) -> None:
    size, steps = 40, 20_000
    [found] = poisson(rate, size, steps=steps, dt=dt, seed=seed)
    matrix = np.zeros((steps, size))
    at, sources = np.array(found).T
    matrix[at, sources] = 1
    assert matrix.sum() == len(found) and np.array_equal(
        np.lexsort((sources, at)), np.arange(at.size)
    )
    p = rate * dt
    sigma = math.sqrt(p * (1 - p))
    assert abs(len(found) - p * size * steps) < 4 * sigma * math.sqrt(size * steps)
    z = (matrix.sum(0) - p * steps) / (sigma * math.sqrt(steps))
    assert np.abs(z).max() < 4.5 and 0.5 < z.std() < 1.5
    for a, b in ((matrix[:-1], matrix[1:]), (matrix[:, :-1], matrix[:, 1:])):  # in time, in space
        together = (a * b).sum()
        assert abs(together - p * p * a.size) < 4.5 * math.sqrt(p * p * a.size) + 4


def test_poisson_draws_repeat_with_seed_trial_and_name_alone() -> None:
    base = poisson(50.0, 5, steps=5000, seed=3, trials=3)
    assert base == poisson(50.0, 5, steps=5000, seed=3, trials=3)
    assert base[:2] == poisson(50.0, 5, steps=5000, seed=3, trials=2)
    different = [
        *base,
        *poisson(50.0, 5, steps=5000, seed=4),
        *poisson(50.0, 5, "q", steps=5000, seed=3),
    ]
    assert len({tuple(d) for d in different}) == 5
    np.random.seed(0)
    assert base == poisson(50.0, 5, steps=5000, seed=3, trials=3)


def test_poisson_draw_does_not_depend_on_other_inputs() -> None:
    alone = poisson(100.0, 2, "noise", steps=2000)[0]
    assert events(drive({"one": [0.0]}, steps=2000), "noise") == alone


def test_inputs_whose_names_share_a_checksum_are_independent() -> None:
    """crc32 of these two words is the same."""
    assert poisson(100.0, 1, "plumless", steps=5000) != poisson(100.0, 1, "buckeroo", steps=5000)


@pytest.mark.parametrize("size", [700, 3001])
def test_poisson_draw_is_independent_of_its_blocks(size: int) -> None:
    """A short run, drawn in one block, is the beginning of a long one, drawn in several."""
    short, steps = 300, 3500
    assert short * size < 1_000_000 < steps * size
    [long] = poisson(20.0, size, steps=steps)
    [begin] = poisson(20.0, size, steps=short)
    assert begin == [e for e in long if e[0] < short]
    assert abs(len(long) - 2e-3 * size * steps) < 4 * math.sqrt(2e-3 * size * steps)


def test_poisson_extremes() -> None:
    assert poisson(0.0, 3, steps=1000) == [[]]
    assert poisson(1 / DT, 2, steps=50) == [[(k, i) for k in range(50) for i in range(2)]]
    with pytest.raises(
        ValueError,
        match=r"^PoissonInput 'p': rate must be at most one spike a step, "
        r"10000 Hz; got 10001\.0\.$",
    ):
        poisson(10001.0, steps=10)


def test_given_spikes_replace_the_draw() -> None:
    found = drive({"noise": [[1e-4], []]})
    assert events(found, "noise") == [(1, 0)]
    with pytest.raises(ValueError, match=r"^inputs\['noise'\] must hold one list .* its 2 sources"):
        drive({"noise": [[1e-4]]})


# ------------------------------------------------------------------ currents


def wave(given: Any, name: str = "ia", target: str = "A", steps: int = 10) -> Any:
    return drive({name: given}, steps=steps).currents[target]


def test_current_steps_begin_and_end_with_their_steps() -> None:
    """A current from start to stop flows in steps start/dt to stop/dt - 1, and steps add up."""
    k = np.arange(10)
    assert wave([(2e-4, 5e-4, 1 * nA)])[:, 0].tolist() == [1 * nA if 2 <= i < 5 else 0.0 for i in k]
    assert wave([(0, 1, 2.0)])[:, 0].tolist() == [2.0] * 10
    assert wave([(0, 3e-4, 1.0), [2e-4, 5e-4, 0.5]])[:, 0].tolist() == [
        1,
        1,
        1.5,
        0.5,
        0.5,
        0,
        0,
        0,
        0,
        0,
    ]
    assert wave([(9e-4, 10e-4, -1.0)])[:, 0].tolist() == [0.0] * 9 + [-1.0]
    assert wave([])[:, 0].tolist() == [0.0] * 10


def test_waveforms() -> None:
    ramp = np.arange(10.0)
    assert wave(ramp).tolist() == ramp[:, None].tolist()
    assert wave(ramp[:, None]).tolist() == ramp[:, None].tolist()
    each = np.arange(30.0).reshape(10, 3)
    assert np.array_equal(wave(each, "ib", "B"), each)
    assert wave(ramp, "ib", "B").shape == (10, 1)
    ramp[:] = 7
    assert "A" not in drive({}, steps=10).currents


def test_a_waveform_is_copied() -> None:
    ramp = np.arange(10.0)
    taken = wave(ramp)
    ramp[:] = 7
    assert taken[:, 0].tolist() == list(range(10))


def test_currents_into_one_target_add_up() -> None:
    each = np.arange(30.0).reshape(10, 3)
    found = drive({"ib": [(0, 5e-4, 1.0)], "also ib": each}, steps=10)
    step = np.where(np.arange(10) < 5, 1.0, 0.0)[:, None]
    assert np.array_equal(found.currents["B"], each + step)
    assert set(found.currents) == {"B"}


CURRENTS_REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "length": (
        np.zeros(9), ValueError,
        "inputs['ia']: a waveform must have shape (10,) or (10, 1), one value a step of 0.0001 s; got (9,)"),
    "width": (np.zeros((10, 2)), ValueError, "inputs['ia']: a waveform must have shape (10,) or (10, 1)"),
    "cube": (np.zeros((10, 1, 1)), ValueError, "inputs['ia']: a waveform must have shape (10,) or"),
    "number": (np.float64(1.0), ValueError, "inputs['ia']: a waveform must have shape (10,) or"),
    "nan": (np.full(10, math.nan), ValueError, "inputs['ia'] must be finite numbers in A; got nan at"),
    "text": ("1 nA", TypeError, "inputs['ia'] must be numbers in A; got '1 nA'."),
    "none": (None, (TypeError, ValueError), "inputs['ia'] must be "),
    "list of numbers": (
        [0.0] * 10, ValueError,
        "inputs['ia']: current steps are (start, stop, amplitude) in s, s, A; got 0.0. Give a waveform as"),
    "pair": ([(0, 1)], ValueError, "inputs['ia']: current steps are (start, stop, amplitude) in s, s, A"),
    "backwards": (
        [(5e-4, 2e-4, 1.0)], ValueError,
        "inputs['ia']: a current step needs 0 <= start < stop; got (0.0005, 0.0002, 1.0)."),
    "empty step": (
        [(2e-4, 2e-4, 1.0)], ValueError, "inputs['ia']: a current step needs 0 <= start < stop; got"),
    "before": (
        [(-1e-4, 2e-4, 1.0)], ValueError, "inputs['ia']: a current step needs 0 <= start < stop; got"),
    "after the end": (
        [(1e-3, 2e-3, 1.0)], ValueError,
        "inputs['ia']: a current step must start within the run, 0 to 0.001 s; got (0.001, 0.002, 1"),
    "nan start": ([(math.nan, 1e-3, 1.0)], ValueError, "inputs['ia'] must be finite numbers in s"),
    "inf stop": ([(0.0, math.inf, 1.0)], ValueError, "inputs['ia'] must be finite numbers in s"),
    "nan amplitude": ([(0, 1e-3, math.nan)], ValueError, "inputs['ia'] must be finite numbers in A"),
    "text amplitude": ([(0, 1e-3, "x")], TypeError, "inputs['ia'] must be numbers in A; got 'x'."),
    "many amplitudes": ([(0, 1e-3, [1.0, 2.0])], ValueError, "inputs['ia']"),
}  # fmt: skip


@pytest.mark.parametrize("case", CURRENTS_REFUSED)
def test_currents_refused(case: str) -> None:
    given, error, message = CURRENTS_REFUSED[case]
    with pytest.raises(error) as caught:
        wave(given)
    assert str(caught.value).startswith(message)


def test_currents_of_a_wrong_dimension_are_refused() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from brian2 import ms, mV, nA, volt
    assert np.allclose(wave([(0 * ms, 0.2 * ms, 3 * nA)])[:3, 0], [3e-9, 3e-9, 0.0], rtol=1e-14)
    for wrong in ([(0, 1e-3, 3 * mV)], np.ones(10) * volt):
        with pytest.raises(ValueError, match=r"^inputs\['ia'\] must be in A"):
            wave(wrong)


def test_drives_are_compared_by_content() -> None:
    given = {"one": [1e-4], "ia": [(0, 1e-3, 1.0)]}
    assert drive(given) == drive(given) and equal([drive(given)], [drive(given)])
    assert drive(given) != drive({"one": [1e-4]})
    assert drive(given) != drive({**given, "one": [2e-4]})
    assert drive(given) != drive(given, seed=1)


def test_long_trains_in_any_order_come_by_step_then_source() -> None:
    """More steps than 16 bits hold."""
    rng = np.random.default_rng(0)
    trains = [rng.permutation(rng.choice(300_000, 400, replace=False)) * 1e-4 for _ in range(7)]
    circuit = nf.Circuit(
        "many", [nf.Population("A", nf.DeltaLIF())], inputs=[nf.SpikeInput("in", 7)],
        projections=[nf.Projection("in", "A", 1e-6)],
    )  # fmt: skip
    (drive,) = resolve(circuit, {"in": trains}, 300_000, 1e-4, 0, None)
    steps, sources = drive.events["in"]
    told = sorted((round(t / 1e-4), i) for i, train in enumerate(trains) for t in train)
    assert list(zip(steps.tolist(), sources.tolist(), strict=True)) == told


@pytest.mark.parametrize("steps", [1, 2**16, 2**16 + 1, 100_000, 2**33])
def test_events_of_any_run_are_put_in_order(steps: int) -> None:
    at = np.random.default_rng(steps).integers(0, steps, 3000)
    at[::7] = at[0]  # equal ones stay as they were
    np.testing.assert_array_equal(_by_step(at, steps), np.argsort(at, kind="stable"))
