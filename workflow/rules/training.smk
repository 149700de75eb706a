# Training: one job for each block of seeds. A job writes the files of all its seeds, and a rule's
# outputs must share their wildcards, so that every block is a rule of its own.


rule fetch:
    # All that needs the internet, ahead of a run on machines without: data sets, and the metrics of
    # checkpoints on the hub, each of which is measured as it comes and deleted.
    input:
        downloads,


rule fetch_dataset:
    output:
        "<results>/datasets/{dataset}.json",
    log:
        "<results>/logs/fetch_{dataset}.log",
    params:
        code=stage_digest("fetch"),
    shell:
        "training-maps fetch --dataset {wildcards.dataset:q} --output {output:q} --log {log:q}"


for experiment in experiments_from("training"):
    jobs = JOBS[experiment]
    training = TrainingJobs(jobs)
    code = training.code(RUST)
    for block, seeds in training.blocks().items():

        rule:
            name:
                f"train_{experiment}_{block}"
            input:
                training.data_files(),
            output:
                logs=jobs.of_runs("training_log.parquet", seeds),
                records=training.records(seeds),
                passing=[
                    temp(directory(folder))
                    for folder in training.passing_records(seeds)
                ],
            log:
                f"<results>/{experiment}/logs/train_{block}.log",
            benchmark:
                f"<results>/{experiment}/benchmarks/train_{block}.jsonl"
            threads: training_threads(training)
            resources:
                **gpu_resources(training),
            params:
                runs=subpath(output[0], ancestor=2),
                seeds=format_seeds(seeds),
                task=training.settings["task"],
                task_settings=training.task_settings(),
                recipe=training.recipe(),
                device=training.device(),
                recording=training.recording_options(),
                code=code,
            shell:
                "training-maps train --task {params.task:q} --set {params.task_settings:q}"
                " --recipe {params.recipe:q} --seeds {params.seeds}"
                " --device {params.device} --threads {threads} {params.recording:q}"
                " --runs {params.runs:q} --log {log:q}"
