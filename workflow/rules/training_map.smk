# The training map, what its states mean, and how far runs differ.


rule map:
    input:
        observations="<results>/{experiment}/observations.parquet",
        models=ask(Jobs.models),
        structure=ask(Jobs.structure),
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
        structure=ask(Jobs.structure_option),
        settings=told("map"),
        code=stage_digest("map"),
    shell:
        "training-maps map --observations {input.observations:q} --models {params.models:q}"
        " {params.structure:q} {params.settings:q}"
        " --experiment {wildcards.experiment:q} --selection {output.selection:q}"
        " --stability {output.stability:q} --output {output.map:q}"
        " --state-paths {output.paths:q} --log {log:q}"


rule semantics:
    input:
        paths="<results>/{experiment}/state_paths.csv",
        logs=ask(Jobs.training_logs),
        table=ask(Jobs.outcome_table),
    output:
        convergence="<results>/{experiment}/convergence.csv",
        outcomes="<results>/{experiment}/outcomes.csv",
        coefficients=report(
            "<results>/{experiment}/coefficients.csv",
            caption="../report/coefficients.rst",
            category="{experiment}",
            labels={"shows": "Coefficients of the states", "kind": "table"},
        ),
        delays="<results>/{experiment}/delays.csv",
        regression="<results>/{experiment}/regression.json",
    log:
        "<results>/{experiment}/logs/semantics.log",
    benchmark:
        "<results>/{experiment}/benchmarks/semantics.jsonl"
    threads: 1
    params:
        runs=ask(Jobs.runs_option),
        settings=told("semantics"),
        code=stage_digest("semantics"),
    shell:
        "training-maps semantics --state-paths {input.paths:q}"
        " {params.runs:q} {params.settings:q}"
        " --convergence {output.convergence:q}"
        " --outcomes {output.outcomes:q} --coefficients {output.coefficients:q}"
        " --delays {output.delays:q} --regression {output.regression:q} --log {log:q}"


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


rule layer_changes:
    input:
        paths="<results>/{experiment}/state_paths.csv",
        layers=ask(Jobs.layers),
    output:
        "<results>/{experiment}/layer_changes.parquet",
    log:
        "<results>/{experiment}/logs/layer_changes.log",
    benchmark:
        "<results>/{experiment}/benchmarks/layer_changes.jsonl"
    wildcard_constraints:
        experiment=any_of(with_layers(EXPERIMENTS, True)),
    threads: 1
    params:
        runs=ask(Jobs.runs_folder),
        code=stage_digest("layer_changes"),
    shell:
        "training-maps layer_changes --state-paths {input.paths:q} --runs {params.runs:q}"
        " --output {output:q} --log {log:q}"


rule forks:
    input:
        paths="<results>/{experiment}/state_paths.csv",
        convergence="<results>/{experiment}/convergence.csv",
        logs=ask(Jobs.training_logs),
    output:
        forks="<results>/{experiment}/forks.json",
        paths="<results>/{experiment}/run_paths.csv",
    log:
        "<results>/{experiment}/logs/forks.log",
    benchmark:
        "<results>/{experiment}/benchmarks/forks.jsonl"
    threads: 1
    params:
        runs=ask(Jobs.runs_option),
        settings=told("forks"),
        code=stage_digest("forks"),
    shell:
        "training-maps forks --state-paths {input.paths:q} --convergence {input.convergence:q}"
        " {params.runs:q} {params.settings:q}"
        " --output {output.forks:q} --run-paths {output.paths:q} --log {log:q}"


rule phase_transitions:
    input:
        paths="<results>/{experiment}/state_paths.csv",
        logs=ask(Jobs.training_logs),
    output:
        table="<results>/{experiment}/phase_transitions.csv",
        summary="<results>/{experiment}/phase_transitions.json",
    log:
        "<results>/{experiment}/logs/phase_transitions.log",
    benchmark:
        "<results>/{experiment}/benchmarks/phase_transitions.jsonl"
    threads: 1
    params:
        runs=ask(Jobs.runs_option),
        settings=told("phase_transitions"),
        code=stage_digest("phase_transitions"),
    shell:
        "training-maps phase_transitions --state-paths {input.paths:q} {params.runs:q}"
        " {params.settings:q} --output {output.table:q} --summary {output.summary:q} --log {log:q}"


rule calibrate:
    input:
        ask(Jobs.metrics),
        ask(Jobs.logs_to_join),
        observations="<results>/{experiment}/observations.parquet",
        models=ask(Jobs.models),
        map="<results>/{experiment}/training_map.json",
        forks="<results>/{experiment}/forks.json",
        convergence="<results>/{experiment}/convergence.csv",
        outcomes="<results>/{experiment}/outcomes.csv",
        regression="<results>/{experiment}/regression.json",
    output:
        "<results>/{experiment}/placing.npz",
    log:
        "<results>/{experiment}/logs/calibrate.log",
    benchmark:
        "<results>/{experiment}/benchmarks/calibrate.jsonl"
    wildcard_constraints:
        experiment=any_of(WITH_MODEL),
    threads: 1
    params:
        folder=subpath(input.map, parent=True),
        code=stage_digest("calibrate"),
    shell:
        "training-maps calibrate --map {params.folder:q} --output {output:q} --log {log:q}"
