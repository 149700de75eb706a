# Training: one job for each block of seeds. A job writes the files of all its seeds, and a rule's
# outputs must share their wildcards, so that every block is a rule of its own.

for experiment, settings in CONFIG.experiments.items():
    code = stage_digest("train", task=settings["training"]["task"])
    for block, seeds in training_blocks(settings).items():

        rule:
            name:
                f"train_{experiment}_{block}"
            output:
                manifests=run_paths(experiment, seeds, "checkpoints.json"),
                logs=run_paths(experiment, seeds, "training_log.parquet"),
                checkpoints=checkpoints_to_remove(experiment, seeds),
            log:
                f"<results>/{experiment}/logs/train_{block}.log",
            benchmark:
                f"<results>/{experiment}/benchmarks/train_{block}.jsonl"
            threads: workflow.cores
            resources:
                gpu=1,
            params:
                runs=subpath(output[0], ancestor=2),
                seeds=format_seeds(seeds),
                task=settings["training"]["task"],
                task_settings=[
                    f"{name}={value}"
                    for name, value in settings["training"]["task_settings"].items()
                ],
                optimizer=settings["training"]["optimizer"],
                learning_rate=settings["training"]["learning_rate"],
                weight_decay=settings["training"]["weight_decay"],
                batch_size=settings["training"]["batch_size"],
                length=settings["training"]["length"],
                checkpoint_every=settings["training"]["checkpoint_every"],
                unit=settings["training"]["unit"],
                device=settings["training"]["device"],
                code=code,
            shell:
                "training-maps train --task {params.task:q} --set {params.task_settings:q}"
                " --seeds {params.seeds} --optimizer {params.optimizer}"
                " --learning-rate {params.learning_rate} --weight-decay {params.weight_decay}"
                " --batch-size {params.batch_size} --length {params.length}"
                " --checkpoint-every {params.checkpoint_every} --unit {params.unit}"
                " --device {params.device} --threads {threads}"
                " --runs {params.runs:q} --log {log:q}"
