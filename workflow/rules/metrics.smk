# Metrics: one job a run, from its checkpoints to a table of 14 columns. Where training computes them
# from memory there are no checkpoints, and nothing is left to do here.

with_checkpoints = [
    experiment
    for experiment, settings in CONFIG.experiments.items()
    if not settings["training"]["metrics_during_training"]
]


rule metrics:
    input:
        manifest="<results>/{experiment}/runs/seed-{seed}/checkpoints.json",
        checkpoints=checkpoints_to_use,
    output:
        "<results>/{experiment}/runs/seed-{seed}/metrics.parquet",
    log:
        "<results>/{experiment}/logs/metrics/seed-{seed}.log",
    benchmark:
        "<results>/{experiment}/benchmarks/metrics/seed-{seed}.jsonl"
    wildcard_constraints:
        experiment=any_of(with_checkpoints),
    # Before further training, so that checkpoints that are not kept do not pile up.
    priority: 1
    threads: 1
    params:
        non_finite=setting("metrics", "non_finite"),
        code=stage_digest("metrics", rust=ROOT / "rust_metrics"),
    shell:
        "training-maps metrics --checkpoints {input.manifest:q} --non-finite {params.non_finite}"
        " --threads {threads} --output {output:q} --log {log:q}"
