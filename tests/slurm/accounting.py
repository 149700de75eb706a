"""SLURM's accounting, for tests: its daemon and a database, whose files are in one folder."""

from __future__ import annotations

from tests.slurm.daemons import Daemons, free_port, host, run

PROGRAMS = ("slurmdbd", "mariadbd", "mariadb-install-db", "my_print_defaults", "resolveip")
"""The last two are called by the one before."""


class Accounting:
    """A slurmdbd and the MariaDB that it writes to.

    The database asks nobody who they are, and listens at a socket in the folder only.

    Args:
        daemons: of the folder that slurm.conf is in, where slurmdbd looks for its own file.
    """

    def __init__(self, daemons: Daemons) -> None:
        self._daemons, self._folder = daemons, daemons.folder
        self._port = free_port()

    @property
    def settings(self) -> dict[str, object]:
        """What slurm.conf says of it."""
        return {
            "AccountingStorageType": "accounting_storage/slurmdbd",
            "AccountingStorageHost": "127.0.0.1",
            "AccountingStoragePort": self._port,
            # With munge, this is its socket.
            "AccountingStoragePass": f"{self._folder}/munge.socket",
        }

    def start(self) -> None:
        """Make the database, start it and slurmdbd, and wait until that has made its tables."""
        run(
            "mariadb-install-db", "--no-defaults", "--user=root", "--skip-test-db",
            "--auth-root-authentication-method=normal", f"--datadir={self._folder}/database",
        )  # fmt: skip
        self._daemons.start_behind(
            "mariadbd.log", "mariadbd", "--no-defaults", "--user=root", "--skip-networking",
            "--skip-grant-tables", f"--datadir={self._folder}/database",
            f"--socket={self._folder}/database.socket", f"--pid-file={self._folder}/mariadbd.pid",
        )  # fmt: skip
        socket = self._folder / "database.socket"
        self._daemons.wait(socket.exists, "the database")
        conf = self._folder / "slurmdbd.conf"
        conf.write_text("".join(f"{key}={value}\n" for key, value in self._own_settings().items()))
        conf.chmod(0o600)  # slurmdbd refuses another
        self._daemons.start("slurmdbd")
        log = self._folder / "slurmdbd.log"
        self._daemons.wait(lambda: log.exists() and "started" in log.read_text(), "slurmdbd")

    def stop(self) -> None:
        """End both; harmless if there are none."""
        self._daemons.end("slurmdbd")
        self._daemons.end("mariadbd")

    def _own_settings(self) -> dict[str, object]:
        return {
            "AuthType": "auth/munge",
            "AuthInfo": f"socket={self._folder}/munge.socket",
            "DbdHost": host(),
            "DbdAddr": "127.0.0.1",
            "DbdPort": self._port,
            "SlurmUser": "root",
            "PidFile": f"{self._folder}/slurmdbd.pid",
            "LogFile": f"{self._folder}/slurmdbd.log",
            "StorageType": "accounting_storage/mysql",
            "StorageHost": "localhost",
            "StorageUser": "root",
            "StorageLoc": "slurm",
        }
