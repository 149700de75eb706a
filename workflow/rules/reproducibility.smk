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
