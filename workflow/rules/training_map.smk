# The training map, what its states mean, and how far runs differ.


rule map:
    input:
        observations="<results>/{experiment}/observations.parquet",
        models=fitted_models,
    output:
        selection=report(
            "<results>/{experiment}/hmm/model_selection.csv",
            caption="../report/model_scores.rst",
            category="{experiment}",
            labels={"shows": "Every fit", "kind": "table"},
        ),
        stability="<results>/{experiment}/hmm/stability.json",
        map="<results>/{experiment}/training_map.json",
        paths="<results>/{experiment}/state_paths.csv",
    log:
        "<results>/{experiment}/logs/map.log",
    benchmark:
        "<results>/{experiment}/benchmarks/map.jsonl"
    wildcard_constraints:
        experiment=any_of(WITH_MODEL),
    threads: 1
    params:
        models=subpath(output.selection, parent=True),
        n_states=numbers("hmm", "n_states"),
        model=kinds_of_model,
        criterion=setting("hmm", "criterion"),
        aggregate=setting("hmm", "aggregate"),
        n_features=setting("training_map", "n_features"),
        features=setting("training_map", "features"),
        code=stage_digest("map"),
    shell:
        "training-maps map --observations {input.observations:q} --models {params.models:q}"
        " --n-states {params.n_states} --model {params.model} --criterion {params.criterion}"
        " --aggregate {params.aggregate} --n-features {params.n_features}"
        " --features {params.features}"
        " --experiment {wildcards.experiment:q} --selection {output.selection:q}"
        " --stability {output.stability:q} --output {output.map:q}"
        " --state-paths {output.paths:q} --log {log:q}"


rule semantics:
    input:
        paths="<results>/{experiment}/state_paths.csv",
        logs=all_training_logs,
        table=outcome_table,
    output:
        convergence="<results>/{experiment}/convergence.csv",
        outcomes="<results>/{experiment}/outcomes.csv",
        coefficients=report(
            "<results>/{experiment}/coefficients.csv",
            caption="../report/coefficients.rst",
            category="{experiment}",
            labels={"shows": "Coefficients of the states", "kind": "table"},
        ),
        regression="<results>/{experiment}/regression.json",
    log:
        "<results>/{experiment}/logs/semantics.log",
    benchmark:
        "<results>/{experiment}/benchmarks/semantics.jsonl"
    threads: 1
    params:
        outcome=setting("semantics", "outcome"),
        column=setting("semantics", "column"),
        threshold=setting("semantics", "threshold"),
        given=outcome_options,
        censored=setting("semantics", "censored"),
        significance=setting("semantics", "significance"),
        detour_rule=setting("semantics", "detour_rule"),
        resamples=setting("semantics", "resamples"),
        random_state=setting("semantics", "random_state"),
        code=stage_digest("semantics"),
    shell:
        "training-maps semantics --state-paths {input.paths:q} --outcome {params.outcome}"
        " --column {params.column:q} --threshold {params.threshold} {params.given:q}"
        " --censored {params.censored} --significance {params.significance}"
        " --detour-rule {params.detour_rule} --resamples {params.resamples}"
        " --random-state {params.random_state} --convergence {output.convergence:q}"
        " --outcomes {output.outcomes:q} --coefficients {output.coefficients:q}"
        " --regression {output.regression:q} --log {log:q}"


rule dissimilarity:
    input:
        paths="<results>/{experiment}/state_paths.csv",
        map="<results>/{experiment}/training_map.json",
    output:
        pairs="<results>/{experiment}/dissimilarity.csv",
        per_run="<results>/{experiment}/dissimilarity_per_run.csv",
    log:
        "<results>/{experiment}/logs/dissimilarity.log",
    benchmark:
        "<results>/{experiment}/benchmarks/dissimilarity.jsonl"
    threads: 1
    params:
        code=stage_digest("dissimilarity"),
    shell:
        "training-maps dissimilarity --state-paths {input.paths:q} --training-map {input.map:q}"
        " --output {output.pairs:q} --per-run {output.per_run:q} --log {log:q}"


rule outliers:
    input:
        paths="<results>/{experiment}/state_paths.csv",
    output:
        "<results>/{experiment}/outliers.csv",
    log:
        "<results>/{experiment}/logs/outliers.log",
    benchmark:
        "<results>/{experiment}/benchmarks/outliers.jsonl"
    threads: 1
    params:
        code=stage_digest("outliers"),
    shell:
        "training-maps outliers --state-paths {input.paths:q} --output {output:q} --log {log:q}"


rule forks:
    input:
        paths="<results>/{experiment}/state_paths.csv",
        convergence="<results>/{experiment}/convergence.csv",
        logs=all_training_logs,
    output:
        forks="<results>/{experiment}/forks.json",
        paths="<results>/{experiment}/run_paths.csv",
    log:
        "<results>/{experiment}/logs/forks.log",
    benchmark:
        "<results>/{experiment}/benchmarks/forks.jsonl"
    threads: 1
    params:
        runs=runs_with_logs,
        significance=setting("forks", "significance"),
        permutations=setting("forks", "permutations"),
        random_state=setting("forks", "random_state"),
        code=stage_digest("forks"),
    shell:
        "training-maps forks --state-paths {input.paths:q} --convergence {input.convergence:q}"
        " {params.runs:q} --significance {params.significance}"
        " --permutations {params.permutations} --random-state {params.random_state}"
        " --output {output.forks:q} --run-paths {output.paths:q} --log {log:q}"


rule phase_transitions:
    input:
        paths="<results>/{experiment}/state_paths.csv",
        logs=all_training_logs,
    output:
        table="<results>/{experiment}/phase_transitions.csv",
        summary="<results>/{experiment}/phase_transitions.json",
    log:
        "<results>/{experiment}/logs/phase_transitions.log",
    benchmark:
        "<results>/{experiment}/benchmarks/phase_transitions.jsonl"
    threads: 1
    params:
        runs=runs_with_logs,
        level=setting("phase_transitions", "level"),
        window=setting("phase_transitions", "window"),
        dips=setting("phase_transitions", "dips"),
        chance=chance_option,
        tolerance=setting("phase_transitions", "tolerance"),
        code=stage_digest("phase_transitions"),
    shell:
        "training-maps phase_transitions --state-paths {input.paths:q} {params.runs:q}"
        " --level {params.level} --window {params.window} --dips {params.dips}"
        " {params.chance} --tolerance {params.tolerance} --output {output.table:q}"
        " --summary {output.summary:q} --log {log:q}"
