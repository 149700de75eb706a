# Checkpoints on the Hugging Face hub: one job a run downloads a checkpoint, measures it, deletes it, and
# goes on with the next. A job that was killed goes on where it was.


for name, layers in tables_of_metrics("hub").items():

    rule:
        name:
            name
        output:
            **layers,
            metrics="<results>/{experiment}/runs/seed-{seed}/metrics.parquet",
        log:
            "<results>/{experiment}/logs/hub/seed-{seed}.log",
        benchmark:
            "<results>/{experiment}/benchmarks/hub/seed-{seed}.jsonl"
        wildcard_constraints:
            experiment=any_of(with_layers(experiments_from("hub"), bool(layers))),
        threads: 1
        resources:
            downloads=1,
        params:
            run=subpath(output.metrics, parent=True),
            repository=ask_of_run(Jobs.on_hub, "repository"),
            revision=ask_of_run(Jobs.on_hub, "revision"),
            steps=ask_of_run(Jobs.on_hub, "steps"),
            options=ask(Jobs.hub_options),
            own_metrics=ask(Jobs.own_metrics),
            reading=ask(Jobs.reading_options),
            settings=told("hub"),
            layers=layers_option,
            code=stage_digest("hub") + stage_digest("metrics", rust=RUST),
        shell:
            "training-maps hub --repository {params.repository:q} --revision {params.revision:q}"
            " --steps {params.steps} --seed {wildcards.seed} {params.options:q}"
            " {params.settings:q} {params.reading:q} --threads {threads}"
            " --scratch {params.run:q}/downloads --output {output.metrics:q}"
            " {params.layers:q} --log {log:q}"
