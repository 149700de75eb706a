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
        settings=told("sensitivity_variant"),
        code=stage_digest("sensitivity_variant"),
    shell:
        "training-maps sensitivity_variant --observations {input.observations:q}"
        " --state-paths {input.paths:q} --training-map {input.map:q}"
        " --regression {input.regression:q} --outcomes {input.outcomes:q} {params.variant:q}"
        " {params.settings:q}"
        " --output {output:q} --log {log:q}"


rule sensitivity:
    input:
        variants=ask(Jobs.of_variants),
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
        ask(Jobs.metrics),
        ask(Jobs.logs_to_join),
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
        runs=ask(Jobs.runs_folder),
        settings=told("early_warning"),
        code=stage_digest("early_warning"),
    shell:
        "training-maps early_warning --observations {input.observations:q}"
        " --runs {params.runs:q} --state-paths {input.paths:q} --training-map {input.map:q}"
        " --regression {input.regression:q} --outcomes {input.outcomes:q}"
        " --convergence {input.convergence:q} {params.settings:q}"
        " --table {output.table:q} --output {output.summary:q} --log {log:q}"
