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
    "metrics": "metrics, training_maps._rust_metrics",
    "observations": "sequences",
    "hmm": "hmm",
    "map": "hmm, training_maps.training_map.map",
    "semantics": "semantics",
    "dissimilarity": "dissimilarity",
    "figures": "figures, training_maps.results",
    "report": "report.page, training_maps.results",
}


def import_seconds(stage: str) -> float:
    """Seconds to start Python, import what the stage's command needs, and stop."""
    code = f"import training_maps.commands.{stage}, pandas, pyarrow.parquet, "
    code += f"training_maps.{ROOMS[stage]}"
    return median_seconds(lambda: subprocess.run([sys.executable, "-c", code], check=True))


def default_job() -> tuple[float, float, dict[str, float]]:
    """Run it; return its seconds, the largest job's memory in MB, and the seconds of each stage."""
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
        for file in Path(folder).glob("results/**/benchmarks/**/*.jsonl"):
            for line in file.read_text().splitlines():
                after = file.parts[file.parts.index("benchmarks") + 1]
                stage = after.split("_")[0].removesuffix(".jsonl")
                stages[stage] = stages.get(stage, 0) + float(json.loads(line)["s"])
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return seconds, peak, stages


def main() -> None:
    """Print both tables."""
    print(versions("snakemake", "pandas", "scikit-learn"), "\n")
    rows = [[stage, f"{import_seconds(stage):.2f}"] for stage in ROOMS]
    print_table(["analysis job", "start and imports, s"], rows)
    seconds, peak, by_stage = default_job()
    rows = [["the whole job", f"{seconds:.0f}"], ["largest process, MB", f"{peak:.0f}"]]
    rows += [[f"all jobs of {stage}, s", f"{s:.0f}"] for stage, s in sorted(by_stage.items())]
    print_table(["default job", "wall-clock seconds"], rows)


if __name__ == "__main__":
    main()
