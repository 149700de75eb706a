# What hangs on the metrics, and what is known early: only for experiments that ask for it.


rule sensitivity_variant:
    input:
        observations="<results>/{experiment}/observations.parquet",
        paths="<results>/{experiment}/state_paths.csv",
        map="<results>/{experiment}/training_map.json",
        regression="<results>/{experiment}/regression.json",
        outcomes="<results>/{experiment}/outcomes.csv",
    output:
        "<results>/{experiment}/sensitivity/{variant}.json",
    log:
        "<results>/{experiment}/logs/sensitivity/{variant}.log",
    benchmark:
        "<results>/{experiment}/benchmarks/sensitivity/{variant}.jsonl"
    wildcard_constraints:
        experiment=any_of(WITH_MODEL),
    threads: 1
    params:
        variant=variant_options,
        n_states=numbers("hmm", "n_states"),
        model=kinds_of_model,
        restarts=setting("hmm", "restarts"),
        covariance=setting("hmm", "covariance"),
        covariance_floor=setting("hmm", "covariance_floor"),
        max_iterations=setting("hmm", "max_iterations"),
        tolerance=setting("hmm", "tolerance"),
        random_state=setting("hmm", "random_state"),
        resplits=setting("hmm", "resplits"),
        criterion=setting("hmm", "criterion"),
        aggregate=setting("hmm", "aggregate"),
        code=stage_digest("sensitivity_variant"),
    shell:
        "training-maps sensitivity_variant --observations {input.observations:q}"
        " --state-paths {input.paths:q} --training-map {input.map:q}"
        " --regression {input.regression:q} --outcomes {input.outcomes:q} {params.variant:q}"
        " --n-states {params.n_states} --model {params.model} --restarts {params.restarts}"
        " --covariance {params.covariance} --covariance-floor {params.covariance_floor}"
        " --max-iterations {params.max_iterations} --tolerance {params.tolerance}"
        " --random-state {params.random_state} --resplits {params.resplits}"
        " --criterion {params.criterion} --aggregate {params.aggregate}"
        " --output {output:q} --log {log:q}"


rule sensitivity:
    input:
        variants=of_variants,
        observations="<results>/{experiment}/observations.parquet",
        paths="<results>/{experiment}/state_paths.csv",
        map="<results>/{experiment}/training_map.json",
        regression="<results>/{experiment}/regression.json",
        outcomes="<results>/{experiment}/outcomes.csv",
    output:
        table="<results>/{experiment}/sensitivity.csv",
        summary="<results>/{experiment}/sensitivity.json",
    log:
        "<results>/{experiment}/logs/sensitivity.log",
    benchmark:
        "<results>/{experiment}/benchmarks/sensitivity.jsonl"
    wildcard_constraints:
        experiment=any_of(WITH_MODEL),
    threads: 1
    params:
        code=stage_digest("sensitivity"),
    shell:
        "training-maps sensitivity --variants {input.variants:q}"
        " --observations {input.observations:q} --state-paths {input.paths:q}"
        " --training-map {input.map:q} --regression {input.regression:q}"
        " --outcomes {input.outcomes:q} --table {output.table:q} --output {output.summary:q}"
        " --log {log:q}"


rule early_warning:
    input:
        all_metrics,
        logs_to_join,
        observations="<results>/{experiment}/observations.parquet",
        paths="<results>/{experiment}/state_paths.csv",
        map="<results>/{experiment}/training_map.json",
        regression="<results>/{experiment}/regression.json",
        outcomes="<results>/{experiment}/outcomes.csv",
        convergence="<results>/{experiment}/convergence.csv",
    output:
        table="<results>/{experiment}/early_warning.csv",
        summary="<results>/{experiment}/early_warning.json",
    log:
        "<results>/{experiment}/logs/early_warning.log",
    benchmark:
        "<results>/{experiment}/benchmarks/early_warning.jsonl"
    wildcard_constraints:
        experiment=any_of(WITH_MODEL),
    threads: 1
    params:
        runs=runs_folder,
        fractions=setting("early_warning", "fractions"),
        folds=setting("early_warning", "folds"),
        permutations=setting("early_warning", "permutations"),
        random_state=setting("early_warning", "random_state"),
        restarts=setting("hmm", "restarts"),
        covariance_floor=setting("hmm", "covariance_floor"),
        max_iterations=setting("hmm", "max_iterations"),
        tolerance=setting("hmm", "tolerance"),
        code=stage_digest("early_warning"),
    shell:
        "training-maps early_warning --observations {input.observations:q}"
        " --runs {params.runs:q} --state-paths {input.paths:q} --training-map {input.map:q}"
        " --regression {input.regression:q} --outcomes {input.outcomes:q}"
        " --convergence {input.convergence:q} --fractions {params.fractions}"
        " --folds {params.folds} --permutations {params.permutations}"
        " --random-state {params.random_state} --restarts {params.restarts}"
        " --covariance-floor {params.covariance_floor}"
        " --max-iterations {params.max_iterations} --tolerance {params.tolerance}"
        " --table {output.table:q} --output {output.summary:q} --log {log:q}"
