"""Generated functions as machine code: compiled by numba once, kept on disk, loaded without it.

numba takes most of a second to import and to find its way into what it has cached; the code that
it made needs only the LLVM binding underneath, which loads it within milliseconds.
"""

import ctypes
import functools
import hashlib
import importlib
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite
import llvmlite.binding as llvm
import numpy as np

from neuroflip import files

_ENTRY = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 5)
"""numba's calling convention: (result, exception, arguments...) -> status."""

_LOADING = threading.Lock()


class NoCompiler(RuntimeError):
    """Code must be compiled, and numba's compiler is switched off."""


class _Code(NamedTuple):
    """needed: the names outside that it calls, but for those of the mathematical library."""

    name: str
    needed: tuple[str, ...]
    binary: bytes


@dataclass(frozen=True)
class Source:
    """A function's text. head: imports, and the functions that it calls; arguments: their names;
    body: indented, with a whole number returned."""

    head: str
    arguments: tuple[str, ...]
    body: str

    def entry(self, kinds: Sequence[str]) -> str:
        """A module's text, in which `entry` takes the arguments, of these kinds, from tables."""
        return f"""\
{self.head}
def entry(pointers, integers, reals):
    ({", ".join(self.arguments)},) = arguments_at(pointers, integers, reals, {", ".join(kinds)!r})
{self.body}"""


@functools.cache
def entry(source: Source, kinds: tuple[str, ...]) -> Any:
    """The function of this text for arguments of these kinds, for callers that keep its tables.

    It takes the addresses of: the result and a place for an exception, and the arguments' pointers,
    whole numbers with the shapes of arrays, and real numbers, each in order. It returns a status.
    """
    with _LOADING:
        return _loaded(source.entry(kinds))


class Call:
    """A function of this text and its arguments: whole numbers, floats and C-contiguous arrays.

    The function may call what numba compiles, and may allocate nothing. Arguments can be replaced
    by others of their kind between calls. Raises RuntimeError where numba's compiler is switched
    off.
    """

    def __init__(self, source: Source, arguments: Mapping[str, Any]) -> None:
        given = [arguments[name] for name in source.arguments]
        self._entry = entry(source, tuple([_kind(a) for a in given]))
        self._arrays: dict[str, Any] = {}  # held, as the tables have but their addresses
        self._at: dict[str, tuple[int, int]] = {}
        tables: list[list[Any]] = [[], [], []]
        pointers, integers, reals = tables
        for name, a in zip(source.arguments, given, strict=True):
            self._at[name] = (len(pointers), len(reals if isinstance(a, float) else integers))
            if isinstance(a, np.ndarray):
                self._arrays[name] = a
                pointers.append(_address(a))
                integers += a.shape
            else:
                (reals if isinstance(a, float) else integers).append(a)
        self._pointers = np.array(pointers, np.uint64)
        self._integers, self._reals = np.array(integers, np.int64), np.array(reals, np.float64)
        self._result = np.zeros(2, np.int64)  # and where an exception would be told
        used = [self._result, self._result[1:], self._pointers, self._integers, self._reals]
        self._tables = [_address(a) for a in used]

    def give(self, **arguments: int | np.ndarray[Any, Any]) -> None:
        """Replace whole numbers and arrays."""
        for name, a in arguments.items():
            pointer, integer = self._at[name]
            if isinstance(a, np.ndarray):
                assert _kind(a) == _kind(self._arrays[name])
                self._arrays[name] = a
                self._pointers[pointer] = _address(a)
                self._integers[integer : integer + a.ndim] = a.shape
            else:
                self._integers[integer] = a

    def point(self, **addresses: int) -> None:
        """Replace arrays by others of their kind and shape, which the caller holds."""
        for name, address in addresses.items():
            self._pointers[self._at[name][0]] = address

    def __call__(self) -> int:
        status = self._entry(*self._tables)
        if status:
            raise RuntimeError(f"the compiled kernel failed with status {status}.")
        return int(self._result[0])


def aligned(size: int, dtype: Any = np.float64) -> Any:
    """Zeros that begin with a line of the processor's cache: vectors across two are slow."""
    dtype = np.dtype(dtype)
    memory = np.zeros(size * dtype.itemsize + 64, np.uint8)
    return memory[-memory.ctypes.data % 64 :][: size * dtype.itemsize].view(dtype)


def _address(array: np.ndarray[Any, Any]) -> int:
    return int(array.__array_interface__["data"][0])


def _kind(argument: Any) -> str:
    """Of an argument: "int", "float", or an array's element type and number of axes."""
    if isinstance(argument, np.ndarray):
        assert argument.flags.c_contiguous
        return f"{_name(argument.dtype)} {argument.ndim}"
    return "float" if isinstance(argument, float) else "int"


@functools.cache
def _name(dtype: np.dtype[Any]) -> str:
    return str(dtype.name)  # which numpy puts together anew each time


def _loaded(source: str) -> Any:
    """The machine code of `entry`, from the disk or compiled and put there."""
    processor = f"{llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"
    made_by = f"{llvmlite.__version__} {llvm.get_process_triple()} {processor}"
    digest = hashlib.sha256(f"{made_by}\n{source}".encode()).hexdigest()[:20]
    path = files.cache_folder("kernels") / f"{digest}.kernel"
    found = _read(path)
    if found is None:
        found = _compiled(source)
        _write(path, found)
    return _entered(found)


def _read(path: Path) -> _Code | None:
    """The code in a file, or None if there is none or it is damaged."""
    try:
        head, _, binary = path.read_bytes().partition(b"\n")
        checksum, name, *needed = head.decode().split()
    except (OSError, ValueError):
        return None
    intact = hashlib.sha256(binary).hexdigest() == checksum
    return _Code(name, tuple(needed), binary) if intact else None


def _write(path: Path, code: _Code) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.replacing(path) as temporary:
        head = " ".join([hashlib.sha256(code.binary).hexdigest(), code.name, *code.needed])
        temporary.write_bytes(head.encode() + b"\n" + code.binary)


def _entered(code: _Code) -> Any:
    """Load code, with symbols of its own: two that were made in two processes may share names.

    Raises RuntimeError for a name that is nowhere; LLVM would end the process.
    """
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    host = llvm.Target.from_default_triple()
    machine = host.create_target_machine(codemodel="jitdefault", jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    # Only now: the first engine of a process opens its own libraries to the search
    if any(map(_missing, code.needed)):
        importlib.import_module("numba")  # brings vector functions, where they are installed
    for name in filter(_missing, code.needed):
        raise RuntimeError(f"a compiled kernel calls {name!r}, which is nowhere to be found.")
    engine.add_object_file(llvm.ObjectFileRef.from_data(code.binary))
    engine.finalize_object()
    entry: Any = _ENTRY(engine.get_function_address(code.name))
    entry.engine = engine  # which holds the code
    return entry


def _missing(name: str) -> bool:
    return llvm.address_of_symbol(name) is None


def _compiled(source: str) -> _Code:
    """The machine code of `entry` in a module's text."""
    import numba
    from numba import types

    settings: Any = numba.config
    if settings.DISABLE_JIT:
        raise NoCompiler("engine 'numba' needs numba's compiler: unset NUMBA_DISABLE_JIT.")
    module: dict[str, Any] = {"arguments_at": _arguments_at(), **_meeting()}
    exec(compile(source, "<kernel>", "exec"), module)
    signature = types.int64(
        types.CPointer(types.uintp), types.CPointer(types.int64), types.CPointer(types.float64)
    )
    options: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "_nrt": False}
    entry = numba.njit(signature, nogil=True, error_model="numpy", **options)(module["entry"])
    found: Any = entry.overloads[entry.signatures[0]]
    library = found.library
    outside = (f.name for f in library._final_module.functions if f.is_declaration)
    needed = tuple(sorted(name for name in outside if not name.startswith("llvm.")))
    return _Code(found.fndesc.llvm_func_name, needed, library._get_compiled_object())


@functools.cache
def _meeting() -> dict[str, Any]:
    """For numba: what threads need to wait for each other at a count, the first of an array.

    arrive(count) adds one; arrivals(count) reads it. What a thread wrote before it arrived, another
    sees once it has read so. give_way() lets another thread run.
    """
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic

    def first(context: Any, builder: Any, kind: Any, array: Any) -> Any:
        return context.make_array(kind)(context, builder, array).data

    @intrinsic
    def arrive(context: Any, count: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            at = first(context, builder, count, given[0])
            return builder.atomic_rmw("add", at, ir.Constant(ir.IntType(64), 1), "acq_rel")

        return types.int64(count), generate

    @intrinsic
    def arrivals(context: Any, count: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            return builder.load_atomic(first(context, builder, count, given[0]), "acquire", 8)

        return types.int64(count), generate

    @intrinsic
    def give_way(context: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            kind = ir.FunctionType(ir.IntType(32), ())
            name = "SwitchToThread" if sys.platform == "win32" else "sched_yield"
            return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), ())

        return types.int32(), generate

    return {"arrive": arrive, "arrivals": arrivals, "give_way": give_way}


@functools.cache
def _arguments_at() -> Any:
    """For numba: arguments out of tables, all at once, as each expression takes time to compile.

    The last one names their kinds. Arrays own nothing.
    """
    from numba import types
    from numba.extending import intrinsic
    from numba.np import arrayobj

    numbers = {"int": types.int64, "float": types.float64}

    def type_of(kind: str) -> Any:
        if kind in numbers:
            return numbers[kind]
        dtype, axes = kind.split()
        return types.Array(getattr(types, "boolean" if dtype == "bool" else dtype), int(axes), "C")

    @intrinsic(prefer_literal=True)
    def arguments_at(context: Any, pointers: Any, integers: Any, reals: Any, kinds: Any) -> Any:
        made = [type_of(kind) for kind in kinds.literal_value.split(", ")]
        result = types.Tuple(made)

        def generate(context: Any, builder: Any, signature: Any, tables: Any) -> Any:
            taken = [0, 0, 0]

            def take(table: int) -> Any:
                index = context.get_constant(types.intp, taken[table])
                taken[table] += 1
                return builder.load(builder.gep(tables[table], [index]))

            def argument(kind: Any) -> Any:
                if kind in (types.int64, types.float64):
                    return take(1 if kind == types.int64 else 2)
                array = arrayobj.make_array(kind)(context, builder)
                number = context.get_data_type(kind.dtype)
                size = context.get_abi_sizeof(number)
                data = builder.inttoptr(take(0), number.as_pointer())
                lengths = [take(1) for _ in range(kind.ndim)]
                strides = [context.get_constant(types.intp, size)]
                for length in lengths[:0:-1]:
                    strides.insert(0, builder.mul(strides[0], length))
                arrayobj.populate_array(
                    array, data=data, shape=lengths, strides=strides, itemsize=size, meminfo=None
                )
                return array._getvalue()

            return context.make_tuple(builder, result, [argument(kind) for kind in made])

        return result(pointers, integers, reals, kinds), generate

    return arguments_at
