# Metrics: one job a run, from its checkpoints to a table with a column a metric. Where training
# computes them from memory there are no checkpoints, and nothing is left to do here.

with_checkpoints = [
    experiment
    for experiment in experiments_from("training", "checkpoints")
    if not JOBS[experiment].setting("training").get("metrics_during_training")
]


rule collect:
    output:
        "<results>/{experiment}/runs/seed-{seed}/checkpoints.json",
    log:
        "<results>/{experiment}/logs/collect/seed-{seed}.log",
    wildcard_constraints:
        experiment=any_of(experiments_from("checkpoints")),
    threads: 1
    params:
        pattern=ask(Jobs.setting, "checkpoints", "path"),
        there=ask_of_run(Jobs.checkpoints_digest),
        code=stage_digest("collect"),
    shell:
        "training-maps collect --pattern {params.pattern:q} --seed {wildcards.seed}"
        " --output {output:q} --log {log:q}"


# A rule's outputs are the same whatever its wildcards, so those who keep no layers have another rule.
for name, layers in tables_of_metrics("metrics").items():

    rule:
        name:
            name
        input:
            manifest="<results>/{experiment}/runs/seed-{seed}/checkpoints.json",
            checkpoints=ask_of_run(checkpoints_to_use),
        output:
            **layers,
            metrics="<results>/{experiment}/runs/seed-{seed}/metrics.parquet",
        log:
            "<results>/{experiment}/logs/metrics/seed-{seed}.log",
        benchmark:
            "<results>/{experiment}/benchmarks/metrics/seed-{seed}.jsonl"
        wildcard_constraints:
            experiment=any_of(with_layers(with_checkpoints, bool(layers))),
        # Before further training, so that checkpoints that are not kept do not pile up.
        priority: 1
        threads: 1
        resources:
            mem_mb=memory_for_metrics,
        params:
            own_metrics=ask(Jobs.own_metrics),
            reading=ask(Jobs.reading_options),
            settings=told("metrics"),
            layers=layers_option,
            code=stage_digest("metrics", rust=RUST),
        shell:
            "training-maps metrics --checkpoints {input.manifest:q}"
            " {params.settings:q} {params.reading:q} --threads {threads}"
            " --output {output.metrics:q} {params.layers:q} --log {log:q}"
