# The training map, what its states mean, and how far runs differ.


rule map:
    input:
        observations="<results>/{experiment}/observations.parquet",
        models=fitted_models,
    output:
        selection="<results>/{experiment}/hmm/model_selection.csv",
        stability="<results>/{experiment}/hmm/stability.json",
        map="<results>/{experiment}/training_map.json",
        paths="<results>/{experiment}/state_paths.csv",
    log:
        "<results>/{experiment}/logs/map.log",
    benchmark:
        "<results>/{experiment}/benchmarks/map.jsonl"
    threads: 1
    params:
        models=subpath(output.selection, parent=True),
        n_states=numbers("hmm", "n_states"),
        model=kinds_of_model,
        criterion=setting("hmm", "criterion"),
        aggregate=setting("hmm", "aggregate"),
        n_features=setting("training_map", "n_features"),
        code=stage_digest("map"),
    shell:
        "training-maps map --observations {input.observations:q} --models {params.models:q}"
        " --n-states {params.n_states} --model {params.model} --criterion {params.criterion}"
        " --aggregate {params.aggregate} --n-features {params.n_features}"
        " --experiment {wildcards.experiment:q} --selection {output.selection:q}"
        " --stability {output.stability:q} --output {output.map:q}"
        " --state-paths {output.paths:q} --log {log:q}"


rule semantics:
    input:
        paths="<results>/{experiment}/state_paths.csv",
        logs=all_training_logs,
    output:
        convergence="<results>/{experiment}/convergence.csv",
        coefficients="<results>/{experiment}/coefficients.csv",
        regression="<results>/{experiment}/regression.json",
    log:
        "<results>/{experiment}/logs/semantics.log",
    benchmark:
        "<results>/{experiment}/benchmarks/semantics.jsonl"
    threads: 1
    params:
        runs=subpath(input[1], ancestor=2),
        threshold=setting("semantics", "threshold"),
        column=setting("semantics", "column"),
        significance=setting("semantics", "significance"),
        code=stage_digest("semantics"),
    shell:
        "training-maps semantics --state-paths {input.paths:q} --runs {params.runs:q}"
        " --threshold {params.threshold} --column {params.column}"
        " --significance {params.significance} --convergence {output.convergence:q}"
        " --coefficients {output.coefficients:q} --regression {output.regression:q}"
        " --log {log:q}"


rule dissimilarity:
    input:
        paths="<results>/{experiment}/state_paths.csv",
        map="<results>/{experiment}/training_map.json",
    output:
        "<results>/{experiment}/dissimilarity.csv",
    log:
        "<results>/{experiment}/logs/dissimilarity.log",
    benchmark:
        "<results>/{experiment}/benchmarks/dissimilarity.jsonl"
    threads: 1
    params:
        code=stage_digest("dissimilarity"),
    shell:
        "training-maps dissimilarity --state-paths {input.paths:q} --training-map {input.map:q}"
        " --output {output:q} --log {log:q}"
