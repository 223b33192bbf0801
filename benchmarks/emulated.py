"""Run the engine on a processor that is not here, emulated instruction by instruction.

    pip install bochscpu-python==0.4.0      # the processor of the Bochs emulator; Linux on x86-64
    python benchmarks/emulated.py trial
    python benchmarks/emulated.py pytest tests/generation/engine/test_backend.py

Runs a module as `python -m` does. But numba compiles for a processor with AVX-512, and each call of a function that it
compiled goes to the emulator: the very machine code at its very address, which reads and writes the memory of this
process. All else (Python, numpy, torch) runs as ever. Nothing of the engine is replaced.

    guest, virtual      an address here is the same address there
    guest, physical     gigabyte n holds the n-th gigabyte of addresses in use; gigabyte 0 holds the page tables
"""

from __future__ import annotations

import ctypes
import os
import runpy
import struct
import sys
import threading
from collections.abc import Iterator
from typing import Any

PROCESSOR = "sapphirerapids"  # as LLVM calls it,
NUMBER, N_PROCESSORS = 30, 32  # and among those that the emulator knows
FEATURES = ("avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512vnni", "avx512bf16")
SETTINGS = {
    "NUMBA_CPU_NAME": PROCESSOR,
    # What that processor has, but for an instruction that the emulator refuses: the upper 16 registers as indices.
    "NUMBA_CPU_FEATURES": "+prefer-no-gather,+prefer-no-scatter",
    "LD_BIND_NOW": "1",  # the loader saves registers by the size that they have on the real processor
}

PAGE, GIGABYTE = 1 << 12, 1 << 30
STACK_BYTES = 1 << 26
HLT = b"\xf4"  # what a function returns to
LARGE_PAGE, PRESENT = 0x80, 0x07  # bits of page tables; present, writable, for users
ARCH_PRCTL, GET_FS = 158, 0x1003  # the system call that tells where a thread keeps what is its own
MALLOC = {"M_TRIM_THRESHOLD": -1, "M_MMAP_THRESHOLD": -3}  # of `mallopt`: keep what was freed; up to this from the heap
HEAP_BYTES = 30 << 20


class Processor:
    """An emulated core that sees the memory of this process."""

    def __init__(self) -> None:
        import bochscpu
        from bochscpu import _bochscpu, cpu, memory

        self._lock = threading.Lock()
        self._bochs, self._cpu, self._memory, self._vector = bochscpu, cpu, memory, _bochscpu.Zmm
        self._fault = ""
        library = ctypes.CDLL(_bochscpu.__file__)
        library.sim_get_param_enum.restype = ctypes.c_void_p
        model = ctypes.c_void_p(library.sim_get_param_enum(b"cpu.model"))
        library._ZN14bx_param_num_c9set_rangeEmm(model, ctypes.c_uint64(0), ctypes.c_uint64(N_PROCESSORS - 1))
        library._ZN15bx_param_enum_c3setEl(model, ctypes.c_int64(NUMBER))
        self._inserted: dict[int, int] = {}  # ranges of addresses that the guest can reach: start, end
        self._pages: set[int] = set()
        self._gigabytes: dict[int, int] = {}
        self._tables = Aligned(64 * PAGE)
        self._tables_used = 1
        for page in range(64):
            memory.page_insert(page * PAGE, self._tables.address + page * PAGE)
        self._thread = thread_of_its_own()
        self._stack, self._exit = Aligned(STACK_BYTES), Aligned(PAGE)
        self._exit.write(0, HLT)
        self._session = bochscpu.Session()
        self._session.missing_page_handler = self._on_missing_page
        self._hook = bochscpu.Hook()
        self._hook.hlt = lambda session, core: session.stop()
        self._hook.exception = self._on_exception

    def call(self, address: int, whole: list[int], floating: list[int]) -> int:
        """Call a function as C does on Linux; return what it leaves in RAX."""
        with self._lock:
            self._reach_memory()
            state = self._fresh_state()
            for name, value in zip(("rdi", "rsi", "rdx", "rcx", "r8", "r9"), whole, strict=False):
                setattr(state, name, value)
            vectors = [self._vector() for _ in range(32)]
            for vector, value in zip(vectors, floating, strict=False):
                vector.q = [value, 0, 0, 0, 0, 0, 0, 0]
            state.zmm = vectors
            on_stack = struct.pack(f"<{max(len(whole) - 5, 1)}Q", self._exit.address, *whole[6:])
            top = (STACK_BYTES - len(on_stack) - 64) // 16 * 16 + 8
            self._stack.write(top, on_stack)
            state.rip, state.rsp = address, self._stack.address + top
            self._session.cpu.state = state
            self._fault = ""
            self._session.run([self._hook])
            if self._fault:
                raise RuntimeError(self._fault)
            return int(self._session.cpu.state.rax)

    def _fresh_state(self) -> Any:
        """64 bits, paging, AVX-512 switched on; ring 0, so that HLT may end it."""
        state = self._bochs.State()
        self._cpu.set_long_mode(state)
        state.cr0, state.cr3 = 0x80050033, 0
        state.cr4 = 1 << 5 | 1 << 9 | 1 << 10 | 1 << 18  # wide addresses, SSE, its exceptions, XSAVE
        state.xcr0 = 0xE7
        state.mxcsr, state.mxcsr_mask, state.rflags = 0x1F80, 0xFFFF, 2
        for name in ("cs", "ss", "ds", "es", "fs", "gs"):
            segment = self._bochs.Segment()
            segment.present, segment.limit = True, 0xFFFFFFFF
            segment.selector, segment.attr = (8, 0xA09B) if name == "cs" else (16, 0xC093)
            segment.base = self._thread if name == "fs" else 0
            setattr(state, name, segment)
        return state

    def _reach_memory(self) -> None:
        """Map what this process has mapped since the last call."""
        with open("/proc/self/maps", encoding="utf-8") as lines:
            for line in lines:
                span, access, *_ = line.split()
                start, end = (int(number, 16) for number in span.split("-"))
                if access[0] != "r" or start >> 47 or "[v" in line or self._inserted.get(start) == end:
                    continue
                self._inserted[start] = end
                for page in range(start, end, PAGE):
                    if page not in self._pages:
                        self._pages.add(page)
                        self._memory.page_insert(self._physical(page), page)

    def _physical(self, address: int) -> int:
        """Where the guest has it; the page tables are told."""
        number = address // GIGABYTE
        if number not in self._gigabytes:
            self._gigabytes[number] = len(self._gigabytes) + 1
            entry = self._tables.word(number // 512)
            if not entry.value:
                entry.value = self._tables_used * PAGE | PRESENT
                self._tables_used += 1
            table = entry.value // PAGE
            self._tables.word(table * 512 + number % 512).value = (
                self._gigabytes[number] * GIGABYTE | LARGE_PAGE | PRESENT
            )
        return self._gigabytes[number] * GIGABYTE + address % GIGABYTE

    def _on_missing_page(self, physical: int) -> None:
        self._fault = f"no memory at physical {physical:#x}, instruction {self._session.cpu.rip:#x}"
        self._session.stop()

    def _on_exception(self, session: Any, core: int, number: int, code: int) -> None:
        code_bytes = ctypes.string_at(session.cpu.rip - 16, 32).hex()
        self._fault = f"exception {number} at {session.cpu.rip:#x} ({code_bytes}), address {session.cpu.cr2:#x}"
        session.stop()


def thread_of_its_own() -> int:
    """A thread that the guest takes itself for, asleep for ever; where it keeps what is its own.

    So `malloc` serves the guest from a heap that nobody else uses, and which is large enough not to ask the kernel.
    """
    libc, base, is_known = ctypes.CDLL(None), ctypes.c_uint64(), threading.Event()
    libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = (
        ctypes.c_void_p,
        [ctypes.c_size_t],
        [ctypes.c_void_p],
    )
    libc.mallopt(MALLOC["M_TRIM_THRESHOLD"], 1 << 30)
    libc.mallopt(MALLOC["M_MMAP_THRESHOLD"], HEAP_BYTES + 1)

    def sleep() -> None:
        libc.free(libc.malloc(HEAP_BYTES))
        libc.syscall(ARCH_PRCTL, GET_FS, ctypes.byref(base))
        is_known.set()
        threading.Event().wait()

    threading.Thread(target=sleep, daemon=True).start()
    is_known.wait()
    return base.value


class Aligned:
    """Memory that begins at a page."""

    def __init__(self, size: int) -> None:
        self._room = ctypes.create_string_buffer(size + PAGE)
        self.address = -(-ctypes.addressof(self._room) // PAGE) * PAGE

    def write(self, offset: int, values: bytes) -> None:
        """Write bytes."""
        ctypes.memmove(self.address + offset, values, len(values))

    def word(self, index: int) -> ctypes.c_uint64:
        """A word of 64 bits, to be read and written."""
        return ctypes.c_uint64.from_address(self.address + 8 * index)


def words(kind: Any, value: Any) -> Iterator[int | float]:
    """An argument as numba passes it: arrays and tuples taken apart."""
    from numba import types

    if isinstance(kind, types.Array):
        yield from (0, 0, value.size, value.itemsize, value.ctypes.data, *value.shape, *value.strides)
    elif isinstance(kind, types.BaseTuple):
        for each, part in zip(kind, value, strict=True):
            yield from words(each, part)
    elif kind == types.float64:
        yield float(value)
    elif isinstance(kind, types.Integer):
        yield int(value) & 0xFFFFFFFFFFFFFFFF
    else:
        raise TypeError(f"an argument of type {kind}: only arrays, tuples, integers and float64 are passed on")


def emulate_numba() -> None:
    """From now on numba's compiled functions run in the emulator."""
    import llvmlite.binding as llvm
    from numba import types
    from numba.core import serialize
    from numba.core.dispatcher import Dispatcher

    processor = Processor()

    def call(function: Any, *values: Any) -> Any:
        kinds = tuple(function.typeof_pyval(value) for value in values)
        function.compile(kinds)
        made = function.overloads[kinds]
        result, error = Aligned(PAGE), Aligned(PAGE)
        arguments: list[int | float] = [result.address, error.address]
        for kind, value in zip(kinds, values, strict=True):
            arguments.extend(words(kind, value))
        whole = [word for word in arguments if isinstance(word, int)]
        floating = [struct.unpack("<Q", struct.pack("<d", word))[0] for word in arguments if isinstance(word, float)]
        address = made.library.get_pointer_to_function(made.fndesc.llvm_func_name)
        status = processor.call(address, whole, floating) & 0xFFFFFFFF
        if 0 < status < 1 << 31:  # an exception of the function's own
            message, size, digest = struct.unpack("<QI4xQ", ctypes.string_at(error.word(0).value, 24))
            raised, details, _ = serialize._numba_unpickle(message, ctypes.string_at(message, size), digest)
            raise raised(*(details or ()))
        if status not in (0, 0xFFFFFFFE):
            raise RuntimeError(f"{function.__name__} ended with status {status}")
        if made.signature.return_type == types.none:
            return None
        assert made.signature.return_type == types.int64, made.signature
        return ctypes.c_int64(result.word(0).value).value

    Dispatcher.__call__ = call  # type: ignore[method-assign, assignment]
    llvm.get_host_cpu_features = lambda: dict.fromkeys(FEATURES, True)


def main() -> None:
    """Run the module that is named, with its arguments."""
    if any(os.environ.get(name) != value for name, value in SETTINGS.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **SETTINGS})
    emulate_numba()
    del sys.argv[0]
    sys.path.insert(0, "")
    code: Any = 0
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code
    sys.stdout.flush()
    os._exit(int(code or 0))  # the emulator does not survive the end of Python


if __name__ == "__main__":
    main()
