"""The libraries are imported when they are needed, and asked for by name when missing."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import neuroflip as nf
from neuroflip import exchange
from neuroflip.optional import require


def test_importing_the_exchange_imports_no_library(tmp_path: Path) -> None:
    code = (
        "import sys, neuroflip.exchange\n"
        "heavy = ('nir', 'neo', 'pandas', 'quantities', 'h5py', 'scipy', 'torch', 'numba',"
        " 'brian2', 'matplotlib')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("library", "function"),
    [("nir", "to_nir"), ("nir", "from_nir"), ("neo", "to_neo"), ("pandas", "to_pandas")],
)
def test_a_missing_library_is_named(library: str, function: str, monkeypatch: Any) -> None:
    circuit = nf.circuits.sr_latch()
    given: Any = circuit if "nir" in function else nf.simulate(circuit, duration=1e-3)

    class Nothing:
        @staticmethod
        def find_spec(name: str, *_: Any) -> None:
            if name.partition(".")[0] == library:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    for name in [n for n in sys.modules if n.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Nothing, *sys.meta_path])
    with pytest.raises(ImportError) as caught:
        getattr(exchange, function)(given)
    assert str(caught.value) == (
        f"this needs the package {library!r}; pip install 'neuroflip[exchange]'"
    )


def test_a_library_that_lacks_its_own_says_so(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "half_there.py").write_text("import nothing_of_the_kind\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="nothing_of_the_kind"):
        require("half_there", "exchange")
