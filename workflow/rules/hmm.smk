# Observations and hidden Markov models: one job for each kind of model and each
# number of states.


rule observations:
    input:
        ask(Jobs.metrics),
        ask(Jobs.logs_to_join),
        ask(Jobs.layers_to_join),
    output:
        "<results>/{experiment}/observations.parquet",
    log:
        "<results>/{experiment}/logs/observations.log",
    benchmark:
        "<results>/{experiment}/benchmarks/observations.jsonl"
    threads: 1
    params:
        runs=subpath(input[0], ancestor=2),
        seeds=ask(Jobs.numbers, "seeds"),
        settings=told("observations"),
        code=stage_digest("observations"),
    shell:
        "training-maps observations --runs {params.runs:q} --seeds {params.seeds}"
        " {params.settings:q}"
        " --output {output:q} --log {log:q}"


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
        settings=told("hmm"),
        code=stage_digest("hmm", rust=RUST),
    shell:
        "training-maps hmm --observations {input:q} --n-states {wildcards.n_states}"
        " --model {params.model} {params.settings:q}"
        " --output {output.model:q} --scores {output.scores:q} --log {log:q}"
