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


def test_results_that_cannot_be_written_are_refused_before_any_job(project):
    refused = project.snakemake("--config", "results=/proc/results")
    assert refused.returncode != 0
    assert "/proc/results: there is no such file or folder" in refused.stdout
    assert "Traceback" not in refused.stdout
    assert "Execute" not in refused.stdout
