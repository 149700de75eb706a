# Whether other seeds show the same map: all models are fitted anew to halves of the runs, one job a half.


rule half:
    input:
        "<results>/{experiment}/observations.parquet",
    output:
        "<results>/{experiment}/reproducibility/half-{half}.npz",
    log:
        "<results>/{experiment}/logs/reproducibility/half-{half}.log",
    benchmark:
        "<results>/{experiment}/benchmarks/reproducibility/half-{half}.jsonl"
    wildcard_constraints:
        experiment=any_of(WITH_MODEL),
    threads: 1
    params:
        settings=told("half"),
        code=stage_digest("half") + stage_digest("hmm", rust=RUST),
    shell:
        "training-maps half --observations {input:q} --half {wildcards.half} {params.settings:q}"
        " --output {output:q} --log {log:q}"


rule structure:
    input:
        halves=ask(Jobs.halves),
        observations="<results>/{experiment}/observations.parquet",
    output:
        "<results>/{experiment}/structure.json",
    log:
        "<results>/{experiment}/logs/structure.log",
    benchmark:
        "<results>/{experiment}/benchmarks/structure.jsonl"
    wildcard_constraints:
        experiment=any_of(WITH_STRUCTURE),
    threads: 1
    params:
        settings=told("structure"),
        code=stage_digest("structure"),
    shell:
        "training-maps structure --halves {input.halves:q} --observations {input.observations:q}"
        " {params.settings:q} --output {output:q} --log {log:q}"


rule reproducibility:
    input:
        halves=ask(Jobs.halves),
        observations="<results>/{experiment}/observations.parquet",
        paths="<results>/{experiment}/state_paths.csv",
        structure="<results>/{experiment}/structure.json",
        regression="<results>/{experiment}/regression.json",
        outcomes="<results>/{experiment}/outcomes.csv",
        convergence="<results>/{experiment}/convergence.csv",
    output:
        "<results>/{experiment}/reproducibility.json",
    log:
        "<results>/{experiment}/logs/reproducibility.log",
    benchmark:
        "<results>/{experiment}/benchmarks/reproducibility.jsonl"
    wildcard_constraints:
        experiment=any_of(WITH_STRUCTURE),
    threads: 1
    params:
        settings=told("reproducibility"),
        code=stage_digest("reproducibility"),
    shell:
        "training-maps reproducibility --halves {input.halves:q}"
        " --observations {input.observations:q} --state-paths {input.paths:q}"
        " --structure {input.structure:q}"
        " --regression {input.regression:q} --outcomes {input.outcomes:q}"
        " --convergence {input.convergence:q} {params.settings:q} --output {output:q} --log {log:q}"
