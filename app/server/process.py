"""What Python and the C library do with the process: its collector and its heap."""

import ctypes
import gc

C_LIBRARY = ctypes.CDLL(None)
ARENAS = 2
HEAP_BYTES = {  # names of glibc's malloc.h
    -3: 2**20,  # M_MMAP_THRESHOLD: what is as large is the system's, and goes back to it at once
    -1: 16 * 2**20,  # M_TRIM_THRESHOLD: free bytes at the heap's end that are kept
    -2: 2**20,  # M_TOP_PAD: bytes by which the heap grows
}
M_ARENA_MAX = -8


def prepare_process() -> None:
    """Prepares the heap; has to come before there is a second thread.

    Each thread's own heap keeps what its largest request took, as does one heap for all, where
    pictures of megabytes lie among small things.
    """
    if hasattr(C_LIBRARY, "mallopt"):
        C_LIBRARY.mallopt(M_ARENA_MAX, ARENAS)
        for parameter, size in HEAP_BYTES.items():
            C_LIBRARY.mallopt(parameter, size)


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
