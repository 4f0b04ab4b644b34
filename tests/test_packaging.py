"""What is installed, and what importing it costs."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS = {"neuroflip": "neuroflip", "rules": "neuroflip.rules", "sims": "neuroflip.sims"}


def python(code: str, folder: Path) -> str:
    """What a fresh process prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def packages_of_the_tree() -> set[str]:
    """Every folder with an __init__.py, by the name it is imported under; links are skipped."""
    found = set()
    for folder, name in FOLDERS.items():
        for init in (ROOT / folder).rglob("__init__.py"):
            inside = init.parent.relative_to(ROOT / folder)
            links = [ROOT / folder / p for p in (inside, *inside.parents) if p != Path()]
            if not any(link.is_symlink() for link in links):
                found.add(".".join((name, *inside.parts)))
    return found


def test_every_package_of_the_tree_is_installed() -> None:
    listed = CONFIG["tool"]["setuptools"]["packages"]
    assert len(listed) == len(set(listed))
    found = packages_of_the_tree()
    assert {"neuroflip", "neuroflip.engines", "neuroflip.rules", "neuroflip.sims"} <= found
    assert set(listed) == found


def test_every_module_is_in_a_package() -> None:
    """A folder of modules without an __init__.py would be left out of a wheel."""
    for folder in FOLDERS:
        for module in (ROOT / folder).rglob("*.py"):
            assert (module.parent / "__init__.py").exists(), module


def test_every_data_file_is_installed() -> None:
    """What lies in a package and is no module has to be named in package-data."""
    named = CONFIG["tool"]["setuptools"]["package-data"]
    for folder, name in FOLDERS.items():
        for path in (ROOT / folder).rglob("*"):
            inside = path.relative_to(ROOT / folder)
            if path.is_dir() or path.suffix == ".py" or path.is_symlink():
                continue
            if "__pycache__" in path.parts:  # compiled, by Python or numba
                continue
            if any((ROOT / folder / p).is_symlink() for p in inside.parents if p != Path()):
                continue
            assert any(  # by its own package, or by one above it
                Path(*inside.parts[depth:]).match(pattern) and pattern.count("/") == below
                for depth in range(len(inside.parts))
                for pattern in named.get(".".join((name, *inside.parts[:depth])), [])
                for below in [len(inside.parts) - depth - 1]
            ), inside


@pytest.mark.parametrize("link", ["rules", "sims"])
def test_links_point_to_the_folders_at_the_root(link: str) -> None:
    path = ROOT / "neuroflip" / link
    assert path.is_symlink() and path.readlink() == Path("..") / link
    assert CONFIG["tool"]["setuptools"]["package-dir"][f"neuroflip.{link}"] == link


def test_importing_neuroflip_imports_no_engine(tmp_path: Path) -> None:
    code = (
        "import sys, neuroflip\n"
        "heavy = ('torch', 'brian2', 'matplotlib', 'numba', 'sympy', 'snntorch', 'rich', 'tqdm',"
        " 'typer', 'scipy', 'pandas', 'nir', 'neo')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    assert python(code, tmp_path) == "[]"


def test_building_and_saving_a_circuit_imports_no_engine(tmp_path: Path) -> None:
    code = (
        "import sys, neuroflip as nf\n"
        "c = nf.circuits.sr_latch(); c.save('c.json'); assert nf.Circuit.load('c.json') == c\n"
        "heavy = ('torch', 'brian2', 'matplotlib', 'numba')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    assert python(code, tmp_path) == "[]"


def test_each_engine_imports_its_own_library_alone(tmp_path: Path) -> None:
    code = (
        "import sys, neuroflip as nf\n"
        "nf.simulate(nf.circuits.sr_latch(), duration=1e-3)\n"
        "print([name for name in ('torch', 'brian2', 'matplotlib') if name in sys.modules])"
    )
    assert python(code, tmp_path) == "[]"


@pytest.mark.parametrize("name", ["rules", "sims", "tests"])
def test_no_folder_of_the_root_is_importable_by_its_bare_name(name: str, tmp_path: Path) -> None:
    code = f"import importlib.util\nprint(importlib.util.find_spec({name!r}))"
    found = python(code, tmp_path)
    assert found == "None" or str(ROOT) not in found, found


def test_the_folders_are_importable_under_neuroflip(tmp_path: Path) -> None:
    code = (
        "import neuroflip.rules, neuroflip.sims, neuroflip.rules.stdp as s\n"
        "import neuroflip as nf\n"
        "print(nf.rules.PairSTDP is s.PairSTDP, nf.__version__)"
    )
    assert python(code, tmp_path) == f"True {CONFIG['project']['version']}"
