# Tables that people logged elsewhere: one job an experiment writes the metrics of all its runs, their
# training logs, or both, so that a table of all runs is read once. Its outputs are those of all
# seeds, so that every experiment has a rule of its own.

for experiment in [name for name, jobs in JOBS.items() if jobs.table_files]:
    jobs = JOBS[experiment]

    rule:
        name:
            f"tables_{experiment}"
        input:
            jobs.table_files,
        output:
            jobs.made_of_tables(),
        log:
            f"<results>/{experiment}/logs/tables.log",
        benchmark:
            f"<results>/{experiment}/benchmarks/tables.jsonl"
        threads: 1
        params:
            runs=subpath(output[0], ancestor=2),
            seeds=jobs.numbers("seeds"),
            options=verbatim(jobs.table_options()),
            code=stage_digest("tables"),
        shell:
            "training-maps tables --seeds {params.seeds} {params.options:q}"
            " --runs {params.runs:q} --log {log:q}"
