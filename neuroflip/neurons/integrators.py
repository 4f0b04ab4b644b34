"""How the differential equations of a neuron are advanced by one step, written as an update block.

    euler               x += dt f(x)
    exponential_euler   x += dt (a x + b) exprel(a dt), where f is a x + b in its own variable
    rk4                 the classical Runge-Kutta method of fourth order

All variables of a step start from the values at its beginning; the injected current is held over
the step, and a variable marked `(unless refractory)` has slope 0 while the neuron is refractory.
Brian2 has integrators of the same names, to which its engine hands the equations.
"""

from collections.abc import Callable, Sequence

from neuroflip import equations as eq

NOT_REFRACTORY = "not_refractory"
"""Name under which updates read 1 where the neuron is not refractory, and 0 where it is."""


def _slope(d: eq.Differential, text: str) -> str:
    return f"{NOT_REFRACTORY}*({text})" if d.unless_refractory else text


def euler(system: Sequence[eq.Differential]) -> str:
    """Forward Euler.

    >>> print(euler(eq.parse_system("dx/dt = -x/tau", {"tau"})))
    x__1 = -x/tau
    x += dt*x__1
    """
    slopes = [f"{d.variable}__1 = {_slope(d, d.value.text)}" for d in system]
    return "\n".join([*slopes, *(f"{d.variable} += dt*{d.variable}__1" for d in system)])


def exponential_euler(system: Sequence[eq.Differential]) -> str:
    """Exponential Euler. Raises EquationError for an equation that is not linear in its variable.

    >>> print(exponential_euler(eq.parse_system("dx/dt = y - x*y", {"y"})))
    x__rate = (0 - (1*(y)))
    x__1 = (y - x*y)*exprel(dt*x__rate)
    x += dt*x__1
    """
    lines = []
    for d in system:
        lines.append(f"{d.variable}__rate = {eq.linear_coefficient(d.value, d.variable)}")
        step = f"({d.value.text})*exprel(dt*{d.variable}__rate)"
        lines.append(f"{d.variable}__1 = {_slope(d, step)}")
    return "\n".join([*lines, *(f"{d.variable} += dt*{d.variable}__1" for d in system)])


def rk4(system: Sequence[eq.Differential]) -> str:
    """The classical Runge-Kutta method.

    >>> print(rk4(eq.parse_system("dx/dt = -x/tau", {"tau"})))
    x__1 = -x/tau
    x__at2 = x + 0.5*dt*x__1
    x__2 = -x__at2/tau
    x__at3 = x + 0.5*dt*x__2
    x__3 = -x__at3/tau
    x__at4 = x + dt*x__3
    x__4 = -x__at4/tau
    x += dt*(x__1 + 2*x__2 + 2*x__3 + x__4)/6
    """
    lines = []
    names: dict[str, str] = {}
    for stage in (1, 2, 3, 4):
        if stage > 1:
            part = "dt" if stage == 4 else "0.5*dt"
            names = {d.variable: f"{d.variable}__at{stage}" for d in system}
            lines += [f"{at} = {x} + {part}*{x}__{stage - 1}" for x, at in names.items()]
        for d in system:
            slope = _slope(d, eq.renamed(d.value.text, names))
            lines.append(f"{d.variable}__{stage} = {slope}")
    for x in (d.variable for d in system):
        lines.append(f"{x} += dt*({x}__1 + 2*{x}__2 + 2*{x}__3 + {x}__4)/6")
    return "\n".join(lines)


INTEGRATORS: dict[str, Callable[[Sequence[eq.Differential]], str]] = {
    f.__name__: f for f in (euler, exponential_euler, rk4)
}
"""The integrators by name."""
