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


def import_seconds(stage: str) -> float:
    """Seconds to start Python, import what the stage's command needs, and stop."""
    code = f"import training_maps.commands.{stage}, pandas, pyarrow.parquet, "
    code += f"training_maps.{ROOMS[stage]}"
    return median_seconds(lambda: subprocess.run([sys.executable, "-c", code], check=True))


def default_job() -> tuple[float, float, dict[str, float], dict[str, float]]:
    """Run it.

    Returns:
        Its seconds, the largest job's memory in MB, and the seconds and CPU seconds of each stage.
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
        start = time.perf_counter()
        subprocess.run(command, check=True, env=environment, stderr=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL)  # fmt: skip
        seconds = time.perf_counter() - start
        stages: dict[str, float] = {}
        cpu: dict[str, float] = {}
        for file in Path(folder).glob("results/**/benchmarks/**/*.jsonl"):
            for line in file.read_text().splitlines():
                after = file.parts[file.parts.index("benchmarks") + 1]
                stage = after.split("_")[0].removesuffix(".jsonl")
                took = json.loads(line)
                stages[stage] = stages.get(stage, 0) + float(took["s"])
                cpu[stage] = cpu.get(stage, 0) + float(took["cpu_time"] or 0)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return seconds, peak, stages, cpu


def main() -> None:
    """Print both tables."""
    print(versions("snakemake", "pandas", "scikit-learn"), "\n")
    rows = [[stage, f"{import_seconds(stage):.2f}"] for stage in ROOMS]
    print_table(["analysis job", "start and imports, s"], rows)
    seconds, peak, by_stage, cpu = default_job()
    rows = [["the whole job", f"{seconds:.0f}"], ["largest process, MB", f"{peak:.0f}"]]
    rows += [[f"all jobs of {stage}, s", f"{s:.0f}"] for stage, s in sorted(by_stage.items())]
    print_table(["default job", "wall-clock seconds"], rows)
    print(
        f"Fits to halves of the runs take {cpu['reproducibility'] / cpu['hmm']:.2f} times the CPU "
        "time of the fits to all runs (at most 2 by default)."
    )


if __name__ == "__main__":
    main()
