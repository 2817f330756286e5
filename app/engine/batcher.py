"""Dynamic batching: many small requests in, full device batches out.

    submit(rows) -> arrivals -> small | large -> gather -> run -> upscale -> encode -> reply
    event loop      |-------------------- device thread --------------------|
                                                                or: |encoder thread|

Nothing waits by the clock: a batch is whatever waits when the device is free, formed at that
moment, so an idle device starts at once and a busy one fills its batches. Requests take turns: a
large one is cut into pieces of a few milliseconds, so that a small one never waits for all of it.
Pictures that are upscaled are generated and upscaled in one turn, in batches of one scale; whoever
has waited longest is in the next. The batcher knows arrays, not HTTP and not the networks.
"""

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.engine.histogram import PICTURES, Tally
from app.responses.problems import InvalidRequest, NotReady, QueueFull

log = logging.getLogger("ganserve")

Latents = NDArray[np.float32]  # (N, z_dim + classes)
Pixels = NDArray[np.uint8]  # (N, H, W, C)
# latents, or the seeds that `gather` makes them of; pictures to classify
Rows = Latents | range | Pixels
Note = str | None  # goes with a picture to the encoder, unread
Encoder = Callable[[Pixels, list[Note]], list[bytes]]
Upscale = Callable[[Pixels, int], Pixels]  # to so many times the side

PIECE_SECONDS = 0.0025  # a large request's share of one batch
OVERLAP_SECONDS = 0.002  # a batch's time on the device from which on encoding in parallel pays
PACE_SMOOTHING = 0.1
CLOSED = "The service is not ready, or is shutting down."
PACE_OUTLIER = 4.0  # times the pace: more is a halt of the machine, and tells nothing of what comes


@dataclass
class Timing:
    """Where the time of a request went, in seconds; of its batches, if it was in several."""

    queue: float = 0.0
    generate: float = 0.0
    upscale: float = 0.0
    encode: float = 0.0


@dataclass(eq=False)
class Job:
    """One accepted request: its rows, its reply, and how far it has come."""

    rows: Rows
    notes: Sequence[Note] | None  # one a row: the reply is a list of files, not an array of pixels
    arrival: float  # monotonic seconds
    deadline: float  # monotonic seconds: not begun by then, it is given up
    reply: "asyncio.Future[Pixels | list[bytes]]"
    scale: int = 1  # more: what is generated is upscaled
    timing: Timing = field(default_factory=Timing)
    taken: int = 0  # rows that are in a batch already; the device thread's, like the next
    failed: bool = False
    answered: int = 0  # rows that have come back; the loop's
    parts: dict[int, Pixels | list[bytes]] = field(default_factory=dict)  # by their first row


@dataclass(frozen=True)
class Piece:
    """Rows of a job that are in one batch."""

    job: Job
    start: int
    end: int


@dataclass(frozen=True)
class _Batch:
    """Pieces that were generated together, and how many seconds it took."""

    pieces: list[Piece]
    pixels: Pixels
    generate: float
    upscale: float


class Batcher:
    """One device's queue. Everything but `_serve` and `_encode` runs on the event loop that started
    it.
    """

    def __init__(
        self,
        run: Callable[[Any], NDArray[Any]],
        encode: Encoder,
        gather: Callable[[list[Any]], Latents] = np.concatenate,
        *,
        max_batch: int,
        max_queue: int,
        max_wait: float,
        upscale: Upscale | None = None,
    ) -> None:
        self._run, self._encode_pictures, self._gather = run, encode, gather
        self._upscale = upscale
        self._max_batch, self._max_queue, self._max_wait = max_batch, max_queue, max_wait
        self._arrivals: SimpleQueue[Job | None] = SimpleQueue()
        self._finished: SimpleQueue[_Batch | None] = SimpleQueue()
        self._encoder_free = threading.Semaphore(1)
        # the device thread's: requests of a piece at most by their scale, larger ones, and whose
        # turn it is
        self._small: dict[int, deque[Job]] = {}
        self._large: deque[Job] = deque()
        self._large_is_next = False
        # by scale: seconds a picture, smoothed; written by the device thread alone
        self._pace: dict[int, float] = {}
        self._open, self._closed = False, True
        self._loop: asyncio.AbstractEventLoop | None = None
        self._threads: list[threading.Thread] = []
        self._jobs: set[Job] = set()  # accepted and not yet answered
        self._holders = 0  # answers of several requests
        self._begun: dict[str, float] = {}  # by thread: monotonic seconds, while it works
        self.pending = 0  # pictures accepted and not yet answered
        self._pending = {1: 0}  # the same by scale
        # so far, upscaled pictures among them; written by the device thread
        self.pictures = self.batches = self.upscaled = 0
        # the loop's: where time went, and what was given up by those who waited
        self.queue_seconds, self.generate_seconds, self.encode_seconds = Tally(), Tally(), Tally()
        self.upscale_seconds = Tally()
        self.batch_pictures = Tally(PICTURES)
        self.dropped = 0

    def start(self) -> None:
        """Begins to accept and to work."""
        self._loop = asyncio.get_running_loop()
        self._open, self._closed = True, False
        self._threads = [
            threading.Thread(target=self._serve, name="device", daemon=True),
            threading.Thread(target=self._encode, name="encoder", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    async def stop(self) -> None:
        """Refuses new requests, answers what was accepted, then ends the threads."""
        self._open, self._closed = False, True
        self._arrivals.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)
        self._threads = []

    def failure(self, hang_seconds: float) -> str | None:
        """Returns what keeps it from ever answering again: a thread that has ended, or has been at
        one batch for too long. None if nothing does.
        """
        now = time.monotonic()
        for thread in self._threads:
            if not thread.is_alive():
                return f"the {thread.name} thread has ended"
            busy = now - self._begun.get(thread.name, now)
            if busy > hang_seconds:
                return f"the {thread.name} thread has been at one batch for {busy:.0f} s"
        return None

    def give_up(self) -> None:
        """Refuses new requests and all that wait: another process may answer them."""
        self._open, self._closed = False, True
        for job in tuple(self._jobs):
            _refuse(job, NotReady("The generator has stopped working."))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps the batcher in use: meanwhile more requests of one answer may come."""
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1

    @property
    def in_use(self) -> bool:
        """Whether a request waits, or an answer of several is under way."""
        return bool(self.pending or self._holders)

    @property
    def max_queue(self) -> int:
        """Pictures that may wait, and so the most that one request may have."""
        return self._max_queue

    def submit(
        self,
        rows: Rows,
        notes: Sequence[Note] | None = None,
        *,
        scale: int = 1,
        goes_on: bool = False,
    ) -> Job:
        """Accepts rows; `job.reply` will hold their pictures, upscaled by `scale`, in their order:
        as files where they come with notes, else as pixels.

        Cancel the reply to give the place up: what is not computed by then never is. What `goes_on`
        is a part of an answer that has begun: it is never refused, so the caller has to bound it.

        Raises:
            NotReady: not started, or draining.
            QueueFull: too many pictures wait, or they would wait too long.
            InvalidRequest: more pictures than the queue could ever hold.
        """
        count = len(rows)
        if not goes_on:
            self.admit(count)
        if self._loop is None or self._closed:
            raise NotReady(CLOSED)
        now = time.monotonic()
        deadline = math.inf if goes_on else now + self._max_wait
        job = Job(rows, notes, now, deadline, self._loop.create_future(), scale)
        self.pending += count
        self._pending[scale] = self._pending.get(scale, 0) + count
        self._jobs.add(job)
        job.reply.add_done_callback(lambda _: self._leave(job))
        self._arrivals.put(job)
        return job

    def admit(self, count: int) -> None:
        """Checks that so many rows would be accepted now.

        Raises:
            Problem: as `submit` does.
        """
        if self._loop is None or not self._open:
            raise NotReady(CLOSED)
        if count > self._max_queue:
            raise InvalidRequest(f"{count} pictures at once; allowed: up to {self._max_queue}")
        wait = 0.0
        for scale, pending in self._pending.items():
            wait += pending * self._pace.get(scale, 0.0)
        full = self.pending + count > self._max_queue
        if full or wait > self._max_wait:
            raise QueueFull(
                f"{self.pending} pictures wait already, for about {wait:.1f} s; allowed: up to "
                f"{self._max_queue} pictures and {self._max_wait:g} s",
                retry_after=max(1, math.ceil(wait)),
                reason="queue-full" if full else "wait-too-long",
            )

    def _leave(self, job: Job) -> None:
        self.pending -= len(job.rows)
        self._pending[job.scale] -= len(job.rows)
        self._jobs.discard(job)
        if job.reply.cancelled():
            self.dropped += len(job.rows)

    def _deliver(
        self, results: list[tuple[Piece, Pixels | list[bytes]]], batch: _Batch, encode: float
    ) -> None:
        """Hands a batch to its jobs. Batches may overtake each other: rows know their place."""
        self.generate_seconds.add(batch.generate)
        if batch.pieces[0].job.scale > 1:
            self.upscale_seconds.add(batch.upscale)
        self.encode_seconds.add(encode)
        self.batch_pictures.add(len(batch.pixels))
        for piece, part in results:
            job = piece.job
            if piece.start == 0:
                self.queue_seconds.add(job.timing.queue)
            job.timing.generate += batch.generate
            job.timing.upscale += batch.upscale
            job.timing.encode += encode
            job.parts[piece.start] = part
            job.answered += piece.end - piece.start
            if job.answered == len(job.rows) and not job.reply.done():
                job.reply.set_result(_joined([job.parts[start] for start in sorted(job.parts)]))

    # --- the device thread ---

    def _serve(self) -> None:
        closing = False
        try:
            while (waiting := any(self._small.values()) or bool(self._large)) or not closing:
                closing |= self._collect(wait=not waiting)
                if batch := self._form():
                    with self._busy("device"):
                        self._work(batch)
                del batch  # and their pixels, which nobody may ask after for hours
        except Exception as error:  # our own mistake: no request may wait forever
            log.critical("the device thread has failed", exc_info=error)
            self._open, self._closed = False, True
            self._collect(wait=False)
            for job in chain(*self._small.values(), self._large):
                self._later(_refuse, job, error)
        finally:
            self._finished.put(None)

    def _collect(self, wait: bool) -> bool:
        """Sorts arrivals into small and large; returns whether the batcher is to stop."""
        closing = False
        try:
            while True:
                job = self._arrivals.get(block=wait)
                wait = False
                if job is None:
                    closing = True
                elif len(job.rows) <= self._piece(job.scale):
                    self._small.setdefault(job.scale, deque()).append(job)
                else:
                    self._large.append(job)
        except Empty:
            return closing

    def _form(self) -> list[Piece]:
        """Forms the next batch: all small requests of a scale that fit, or a piece of a large one,
        in turn.
        """
        waiting = [jobs for jobs in self._small.values() if jobs]
        if self._large and (self._large_is_next or not waiting):
            self._large_is_next = False
            job = self._large.popleft()
            if self._hopeless(job):
                return []
            piece = _cut(job, self._piece(job.scale))
            if piece.end < len(job.rows):
                self._large.append(job)
            return [piece]
        self._large_is_next = True
        small = min(waiting, key=lambda jobs: jobs[0].arrival, default=deque[Job]())
        pieces: list[Piece] = []
        room = self._room(small[0].scale) if small else 0
        while small and room:
            job = small.popleft()
            if self._hopeless(job):
                continue
            pieces.append(_cut(job, room))
            room -= pieces[-1].end - pieces[-1].start
            if job.taken < len(job.rows):
                small.appendleft(job)
        return pieces

    def _hopeless(self, job: Job) -> bool:
        """Returns whether a job is never to be computed: it has failed, no one waits for it any
        more, or its deadline has passed (it is refused here).
        """
        if job.failed or job.reply.done():
            return True
        if job.taken == 0 and time.monotonic() > job.deadline:
            late = QueueFull(f"Not begun within {self._max_wait:g} s.", reason="too-late")
            self._later(_refuse, job, late)
            return True
        return False

    def _room(self, scale: int) -> int:
        """Returns the rows of one batch at most: fewer where they are upscaled, for each of them
        takes longer.
        """
        return max(1, self._max_batch // scale)

    def _piece(self, scale: int) -> int:
        """Returns the rows of a large request in one batch: a few milliseconds' worth."""
        if not (pace := self._pace.get(scale)):
            return 1
        return max(1, min(self._room(scale), int(PIECE_SECONDS / pace)))

    def _work(self, pieces: list[Piece]) -> None:
        start = time.monotonic()
        for piece in pieces:
            if piece.start == 0:
                piece.job.timing.queue = start - piece.job.arrival
        try:
            z = self._gather([piece.job.rows[piece.start : piece.end] for piece in pieces])
            if all(piece.job.reply.done() for piece in pieces):
                return  # all have gone meanwhile
            scale = pieces[0].job.scale
            pixels, upscale = self._timed(z, scale)
        except Exception as error:
            self._find_guilty(pieces, error)
            return
        batch = _Batch(pieces, pixels, time.monotonic() - start - upscale, upscale)
        # another thread encodes where the device has more to do, and is at it for long enough
        more = any(self._small.values()) or self._large or not self._arrivals.empty()
        long = self._pace[scale] * len(pixels) > OVERLAP_SECONDS
        if more and long and self._encoder_free.acquire(blocking=False):
            self._finished.put(batch)
        else:
            self._finish(batch)

    def _timed(self, z: Latents, scale: int) -> tuple[Pixels, float]:
        """Returns the pictures, and how many seconds of it they were upscaled."""
        start = time.perf_counter()
        pixels, upscale = self._run(z), 0.0
        if scale > 1:
            assert self._upscale is not None
            begin = time.perf_counter()
            pixels = self._upscale(pixels, scale)
            upscale = time.perf_counter() - begin
            self.upscaled += len(z)
        self.pictures, self.batches = self.pictures + len(z), self.batches + 1
        pace = (time.perf_counter() - start) / len(z)
        if known := self._pace.get(scale):
            pace = known + PACE_SMOOTHING * (min(pace, PACE_OUTLIER * known) - known)
        self._pace[scale] = pace
        return pixels, upscale

    def _find_guilty(self, pieces: list[Piece], error: Exception) -> None:
        """Runs the pieces of a failed batch one by one: only those that fail alone are refused."""
        if len(pieces) == 1:
            pieces[0].job.failed = True
            self._later(_refuse, pieces[0].job, error)
            return
        for piece in pieces:
            self._work([piece])

    # --- the encoder thread ---

    def _encode(self) -> None:
        while (batch := self._finished.get()) is not None:
            try:
                with self._busy("encoder"):
                    self._finish(batch)
            finally:
                self._encoder_free.release()
                del batch

    def _finish(self, batch: _Batch) -> None:
        """Cuts a batch into pieces, as files where they have notes, and sends all to the loop at
        once. Those that no one waits for any more are left out.
        """
        start = time.monotonic()
        waited = [not piece.job.reply.done() for piece in batch.pieces]
        try:
            files = self._files(batch, waited)
        except Exception as error:
            for piece in batch.pieces:
                self._later(_refuse, piece.job, error)
            return
        encode = time.monotonic() - start
        results: list[tuple[Piece, Pixels | list[bytes]]] = []
        row = file = 0
        for piece, waits in zip(batch.pieces, waited, strict=True):
            count = piece.end - piece.start
            if waits and piece.job.notes is None:
                results.append((piece, batch.pixels[row : row + count]))
            elif waits:
                results.append((piece, files[file : file + count]))
                file += count
            row += count
        self._later(self._deliver, results, batch, encode)

    def _files(self, batch: _Batch, waited: list[bool]) -> list[bytes]:
        """Encodes the batch's pictures, in its order, without those that leave as pixels or not at
        all; returns their files.
        """
        notes: list[Note] = []
        wanted: list[bool] = []
        for piece, waits in zip(batch.pieces, waited, strict=True):
            wanted.append(waits and piece.job.notes is not None)
            if waits and piece.job.notes is not None:
                notes += piece.job.notes[piece.start : piece.end]
        if len(notes) == len(batch.pixels):
            return self._encode_pictures(batch.pixels, notes)
        rows = np.repeat(wanted, [piece.end - piece.start for piece in batch.pieces])
        return self._encode_pictures(batch.pixels[rows], notes) if notes else []

    @contextmanager
    def _busy(self, thread: str) -> Iterator[None]:
        self._begun[thread] = time.monotonic()
        try:
            yield
        finally:
            del self._begun[thread]

    def _later(self, call: Callable[..., None], *arguments: object) -> None:
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(call, *arguments)


def _cut(job: Job, rows: int) -> Piece:
    """Takes the next rows of a job, so many at most."""
    piece = Piece(job, job.taken, min(job.taken + rows, len(job.rows)))
    job.taken = piece.end
    return piece


def _refuse(job: Job, error: Exception) -> None:
    if not job.reply.done():
        job.reply.set_exception(error)


def _joined(parts: list[Any]) -> Pixels | list[bytes]:
    if len(parts) == 1:
        whole: Pixels | list[bytes] = parts[0]
        return whole
    if isinstance(parts[0], list):
        return [file for part in parts for file in part]
    return np.concatenate(parts)
