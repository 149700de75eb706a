# Checkpoints on the Hugging Face hub: one job a run downloads a checkpoint, measures it, deletes it, and
# goes on with the next. A job that was killed goes on where it was.


rule hub:
    output:
        "<results>/{experiment}/runs/seed-{seed}/metrics.parquet",
    log:
        "<results>/{experiment}/logs/hub/seed-{seed}.log",
    benchmark:
        "<results>/{experiment}/benchmarks/hub/seed-{seed}.jsonl"
    wildcard_constraints:
        experiment=any_of(experiments_from("hub")),
    threads: 1
    resources:
        downloads=1,
    params:
        run=subpath(output[0], parent=True),
        repository=on_hub("repository"),
        revision=on_hub("revision"),
        steps=on_hub("steps"),
        options=hub_options,
        columns=setting("metrics", "columns"),
        own_metrics=own_metrics,
        non_finite=setting("metrics", "non_finite"),
        unreadable=setting("metrics", "unreadable"),
        reading=reading_options,
        code=stage_digest("hub") + stage_digest("metrics", rust=ROOT / "rust_metrics"),
    shell:
        "training-maps hub --repository {params.repository:q} --revision {params.revision:q}"
        " --steps {params.steps} --seed {wildcards.seed} {params.options:q}"
        " --columns {params.columns:q} --non-finite {params.non_finite}"
        " --unreadable {params.unreadable} {params.reading:q}"
        " --threads {threads}"
        " --scratch {params.run:q}/downloads --output {output:q} --log {log:q}"
