"""Two servers, a primary and a copy of it whose replay of what is written can be paused."""

from __future__ import annotations

import time
from typing import Self

from testing.mariadb import MariaDb
from testing.postgres import Postgres

PAUSE_SECONDS, WAIT_SECONDS = 0.01, 30


class StandbyPair:
    """A `primary` and its hot `standby` of PostgreSQL, from `with` to its end."""

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


class ReplicaPair:
    """The same of MariaDB: the standby is an asynchronous replica that is read-only."""

    def __init__(self) -> None:
        log = ("binlog-format=ROW", "log-bin=binary")
        self.primary = MariaDb("server-id=1", *log)
        self.standby = MariaDb("server-id=2", *log, "read-only=ON", "log-slave-updates=OFF")

    def __enter__(self) -> Self:
        self.primary.__enter__()
        self.standby.__enter__()
        self.standby.execute(
            f"CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {self.primary.port},"
            " MASTER_USER = 'root', MASTER_USE_GTID = slave_pos"
        )
        self.standby.execute("START SLAVE")
        return self

    def __exit__(self, *error: object) -> None:
        self.standby.__exit__(*error)
        self.primary.__exit__(*error)

    def catch_up(self) -> None:
        """Wait until the standby has all that is written."""
        ((written,),) = self.primary.execute("SELECT @@gtid_binlog_pos")
        waited = f"SELECT MASTER_GTID_WAIT('{written}', {WAIT_SECONDS})"
        assert self.standby.execute(waited) == [(0,)]

    def pause(self) -> None:
        self.catch_up()
        self.standby.execute("STOP SLAVE SQL_THREAD")

    def resume(self) -> None:
        self.standby.execute("START SLAVE SQL_THREAD")
        self.catch_up()

    def written_by_the_standby(self) -> str:
        """The place in its binary log, which has only what did not come from the primary."""
        ((place,),) = self.standby.execute("SELECT @@gtid_binlog_pos")
        return str(place)
