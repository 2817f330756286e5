"""What Python and the C library do with the process: its collector, its threads, its heap."""

import ctypes
import gc
import sys

C_LIBRARY = ctypes.CDLL(None)
SWITCH_SECONDS = 0.0005
ARENAS = 2
M_ARENA_MAX = -8  # from glibc's malloc.h


def prepare_process() -> None:
    """Prepares threads and heap; has to come before there is a second thread.

    Whatever needs the interpreter waits for its turn, and the event loop needs it anew after each
    system call: beside a thread that checks a long body, Python's 5 ms a turn are seconds for a
    few hundred connections. And each thread's own heap keeps what its largest request took.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    if hasattr(C_LIBRARY, "mallopt"):
        C_LIBRARY.mallopt(M_ARENA_MAX, ARENAS)


def settle_process() -> None:
    """Settles what loading has left: gives free memory back to the system, takes all that lives out
    of the garbage collector's rounds, and makes these rarer.

    A full round over a few hundred thousand objects of the libraries halts every request for 50 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    give_memory_back()


def give_memory_back() -> None:
    """Gives what the heap holds in reserve back to the system; takes some 10 ms."""
    if hasattr(C_LIBRARY, "malloc_trim"):
        C_LIBRARY.malloc_trim(0)
