# Observations and hidden Markov models: one job for each kind of model and each
# number of states.


rule observations:
    input:
        all_metrics,
        logs_to_join,
    output:
        "<results>/{experiment}/observations.parquet",
    log:
        "<results>/{experiment}/logs/observations.log",
    benchmark:
        "<results>/{experiment}/benchmarks/observations.jsonl"
    threads: 1
    params:
        runs=subpath(input[0], ancestor=2),
        seeds=numbers("seeds"),
        metrics=setting("observations", "metrics"),
        log_columns=setting("observations", "log_columns"),
        max_checkpoints=setting("observations", "max_checkpoints"),
        min_checkpoints=setting("observations", "min_checkpoints"),
        validation_share=setting("observations", "validation_share"),
        split_seed=setting("observations", "split_seed"),
        non_finite=setting("metrics", "non_finite"),
        code=stage_digest("observations"),
    shell:
        "training-maps observations --runs {params.runs:q} --seeds {params.seeds}"
        " --metrics {params.metrics:q} --log-columns {params.log_columns:q}"
        " --max-checkpoints {params.max_checkpoints}"
        " --min-checkpoints {params.min_checkpoints}"
        " --validation-share {params.validation_share} --split-seed {params.split_seed}"
        " --non-finite {params.non_finite} --output {output:q} --log {log:q}"


rule hmm:
    input:
        "<results>/{experiment}/observations.parquet",
    output:
        model="<results>/{experiment}/hmm/{kind}states-{n_states}.npz",
        scores="<results>/{experiment}/hmm/{kind}states-{n_states}.csv",
    log:
        "<results>/{experiment}/logs/hmm/{kind}states-{n_states}.log",
    benchmark:
        "<results>/{experiment}/benchmarks/hmm/{kind}states-{n_states}.jsonl"
    threads: 1
    params:
        model=kind_of_model,
        restarts=setting("hmm", "restarts"),
        covariance=setting("hmm", "covariance"),
        covariance_floor=setting("hmm", "covariance_floor"),
        max_iterations=setting("hmm", "max_iterations"),
        tolerance=setting("hmm", "tolerance"),
        random_state=setting("hmm", "random_state"),
        resplits=setting("hmm", "resplits"),
        code=stage_digest("hmm", rust=ROOT / "rust_metrics"),
    shell:
        "training-maps hmm --observations {input:q} --n-states {wildcards.n_states}"
        " --model {params.model} --restarts {params.restarts} --covariance {params.covariance}"
        " --covariance-floor {params.covariance_floor}"
        " --max-iterations {params.max_iterations} --tolerance {params.tolerance}"
        " --random-state {params.random_state} --resplits {params.resplits}"
        " --output {output.model:q} --scores {output.scores:q} --log {log:q}"
