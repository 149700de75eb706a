"""Where there are no locks, no home and no place for temporary files, the results are the same."""

from tests.faults.comparison import differences

# What Python runs at the start of every process of the workflow.
NO_LOCKS = """
import errno, fcntl, os

def flock(*_):
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

fcntl.flock = flock
"""


def test_without_locks_home_and_temporary_folder(finished, project, monkeypatch, tmp_path):
    (project.folder / "python/sitecustomize.py").write_text(NO_LOCKS)
    monkeypatch.setenv("HOME", "")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    names = ("runs/seed-3/metrics.parquet", "runs/seed-3/layers.parquet")
    for name in names:
        (project.results / name).unlink()
    project.run("--", *(f"results/tiny/{name}" for name in names))
    assert differences(project.folder / "results", finished[0].folder / "results") == []
