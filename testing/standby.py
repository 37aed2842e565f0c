"""A PostgreSQL server and its hot standby, whose replay of what is written can be paused."""

from __future__ import annotations

import time
from typing import Self

from testing.postgres import Postgres

PAUSE_SECONDS = 0.01


class StandbyPair:
    """A `primary` and its `standby`, from `with` to its end."""

    def __init__(self) -> None:
        self.primary = Postgres()
        self.standby = Postgres(primary=self.primary)

    def __enter__(self) -> Self:
        self.primary.__enter__()
        self.standby.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.standby.__exit__(*error)
        self.primary.__exit__(*error)

    def catch_up(self) -> None:
        """Wait until the standby has all that is written."""
        catch_up(self.primary, self.standby)

    def pause(self) -> None:
        """Let the standby keep to what it has now, which is all that is written."""
        self.catch_up()
        self.standby.execute("SELECT pg_wal_replay_pause()")
        while self.standby.execute("SELECT pg_get_wal_replay_pause_state()") != [("paused",)]:
            time.sleep(PAUSE_SECONDS)

    def resume(self) -> None:
        self.standby.execute("SELECT pg_wal_replay_resume()")
        self.catch_up()


def catch_up(primary: Postgres, standby: Postgres) -> None:
    """Wait until the standby has all that the primary has written."""
    ((written,),) = primary.execute("SELECT pg_current_wal_lsn()::text")
    while standby.execute(f"SELECT pg_last_wal_replay_lsn() < '{written}'::pg_lsn") != [(False,)]:
        time.sleep(PAUSE_SECONDS)
