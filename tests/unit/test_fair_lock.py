"""The lock that is given in the order in which it was asked for."""

from __future__ import annotations

import threading
import time

import pytest

from convstore.exchange.fair_lock import FairLock


def waiting(lock: FairLock) -> int:
    return len(lock._waiting)


def until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_threads_get_the_lock_in_the_order_in_which_they_asked():
    lock, served = FairLock(), []

    def take(number: int) -> None:
        with lock.acquire(timeout=60):
            served.append(number)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(20)]
    with lock.acquire(timeout=60):
        for number, thread in enumerate(threads):
            thread.start()
            until(lambda number=number: waiting(lock) == number + 1)
    for thread in threads:
        thread.join()
    assert served == list(range(20))


def test_only_one_thread_holds_the_lock():
    lock, inside, most = FairLock(), 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(200):
            with lock.acquire(timeout=60):
                inside += 1
                most = max(most, inside)
                time.sleep(0)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_a_wait_that_takes_too_long_gives_up_and_leaves_the_queue():
    lock = FairLock()
    with lock.acquire(timeout=60):
        with pytest.raises(TimeoutError), lock.acquire(timeout=0.01):
            pass
        assert waiting(lock) == 0
    with lock.acquire(timeout=0.01):
        pass


def test_many_that_give_up_never_lose_the_lock():
    lock = FairLock()

    def hurry() -> None:
        for _ in range(50):
            try:
                with lock.acquire(timeout=0.0005):
                    time.sleep(0.0004)
            except TimeoutError:
                pass

    threads = [threading.Thread(target=hurry) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with lock.acquire(timeout=60):
        pass
