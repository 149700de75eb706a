"""The whole default job, and what an analysis job imports: seconds and memory.

The job runs in a temporary folder with this checkout's sources, as `make run` would after set-up.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import median_seconds, print_table, versions

ROOT = Path(__file__).parents[1]


ROOMS = {  # what the stages' commands import when they run
    "metrics": "metrics.compute, training_maps._rust_metrics",
    "observations": "hmm.observations",
    "hmm": "model_selection.fit",
    "half": "reproducibility.refit",
    "map": "model_selection.select, training_maps.training_map.map",
    "reproducibility": "analysis.reproducibility.gather",
    "semantics": "analysis.semantics.regression",
    "dissimilarity": "analysis.dissimilarity",
    "figures": "figures, training_maps.results",
    "report": "report.page, training_maps.results",
}


START = 0.25  # seconds that an analysis job is to start in at most
NOTHING_TO_DO = 3
GOALS = {"figures": 12, "report": 4}  # CPU seconds of a stage at most


def import_seconds(stage: str) -> float:
    """Seconds to start Python, import what the stage's command needs, and stop."""
    tables = "pyarrow.parquet" if stage == "metrics" else "pandas, pyarrow.parquet"
    code = f"import training_maps.commands.{stage}, {tables}, training_maps.{ROOMS[stage]}"
    return median_seconds(lambda: subprocess.run([sys.executable, "-c", code], check=True))


def default_job() -> tuple[float, float, float, dict[str, float], dict[str, float]]:
    """Run it, and again with nothing to do.

    Returns:
        Its seconds and those of the second run, the largest job's memory in MB, and the seconds and
        CPU seconds of each stage.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "snakemake", "--cores", "all", "--snakefile",
                   str(ROOT / "Snakefile"), "--directory", folder, "--quiet", "all",
                   "--workflow-profile", str(ROOT / "profiles/default"),
                   "--configfile", str(ROOT / "config.yaml")]  # fmt: skip
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        took: list[float] = []
        for _ in range(2):
            start = time.perf_counter()
            subprocess.run(command, check=True, env=environment, stderr=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL)  # fmt: skip
            took.append(time.perf_counter() - start)
        stages: dict[str, float] = {}
        cpu: dict[str, float] = {}
        for file in Path(folder).glob("results/**/benchmarks/**/*.jsonl"):
            for line in file.read_text().splitlines():
                after = file.parts[file.parts.index("benchmarks") + 1]
                stage = after.split("_")[0].removesuffix(".jsonl")
                row = json.loads(line)
                stages[stage] = stages.get(stage, 0) + float(row["s"])
                cpu[stage] = cpu.get(stage, 0) + float(row["cpu_time"] or 0)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return took[0], took[1], peak, stages, cpu


def main() -> None:
    """Print both tables."""
    print(versions("snakemake", "pandas", "scikit-learn"), "\n")
    rows = [[stage, f"{import_seconds(stage):.2f}", f"{START}"] for stage in ROOMS]
    print_table(["analysis job", "start and imports, s", "goal"], rows)
    seconds, again, peak, by_stage, cpu = default_job()
    rows = [
        [f"all jobs of {stage}", f"{s:.0f}", f"{cpu[stage]:.1f}", str(GOALS.get(stage, ""))]
        for stage, s in sorted(by_stage.items())
    ]
    rows.append(["the whole job", f"{seconds:.0f}", f"{sum(cpu.values()):.0f}", "150"])
    rows.append(["again, with nothing to do", f"{again:.1f}", "", str(NOTHING_TO_DO)])
    print_table(["default job", "wall-clock seconds", "CPU seconds", "goal"], rows)
    print(f"Largest process: {peak:.0f} MB.")
    print(
        f"Fits to halves of the runs take {cpu['reproducibility'] / cpu['hmm']:.2f} times the CPU "
        "time of the fits to all runs (at most 2 by default)."
    )


if __name__ == "__main__":
    main()
