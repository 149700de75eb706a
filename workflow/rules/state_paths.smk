# State paths that are given: the map of runs whose states are already known.


rule state_paths:
    input:
        ask(Jobs.setting, "state_paths", "path"),
    output:
        map="<results>/{experiment}/training_map.json",
        paths="<results>/{experiment}/state_paths.csv",
    log:
        "<results>/{experiment}/logs/state_paths.log",
    benchmark:
        "<results>/{experiment}/benchmarks/state_paths.jsonl"
    wildcard_constraints:
        experiment=any_of(experiments_from("state_paths")),
    threads: 1
    params:
        seeds=ask(Jobs.numbers, "seeds"),
        code=stage_digest("state_paths"),
    shell:
        "training-maps state_paths --table {input:q} --seeds {params.seeds}"
        " --experiment {wildcards.experiment:q} --output {output.map:q}"
        " --state-paths {output.paths:q} --log {log:q}"
