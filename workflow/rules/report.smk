# What people look at: figures, the report, the summary and the comparison of experiments. Outputs in
# report(...) are shown by Snakemake's own report: `snakemake --report report.html`.


report: "../report/workflow.rst"


rule summary:
    input:
        ask(Jobs.analysis),
    output:
        "<results>/{experiment}/summary.json",
    log:
        "<results>/{experiment}/logs/summary.log",
    benchmark:
        "<results>/{experiment}/benchmarks/summary.jsonl"
    threads: 1
    params:
        results=subpath(input[0], parent=True),
        no_halves=ask(Jobs.no_halves),
        code=stage_digest("summary"),
    shell:
        "training-maps summary --results {params.results:q} --experiment {wildcards.experiment:q}"
        " {params.no_halves:q} --output {output:q} --log {log:q}"


# A rule's outputs are the same whatever its wildcards, so those who ask for other files have another rule.
for number, (files, experiments) in enumerate(alike_in_figures(JOBS).items()):

    rule:
        name:
            f"figures_{number}" if number else "figures"
        input:
            ask(Jobs.analysis),
            "<results>/{experiment}/summary.json",
            ask(Jobs.training_logs),
            ask(Jobs.metrics),
            ask(Jobs.layers),
        output:
            in_report(files),
        log:
            "<results>/{experiment}/logs/figures.log",
        benchmark:
            "<results>/{experiment}/benchmarks/figures.jsonl"
        wildcard_constraints:
            experiment=any_of(experiments),
        threads: 1
        params:
            results=subpath(input[0], parent=True),
            figures=subpath(output[0], ancestor=2),
            time=ask(Jobs.setting, "training", "unit"),
            settings=told("figures"),
            no_halves=ask(Jobs.no_halves),
            no_layers=ask(Jobs.no_layers),
            code=stage_digest("figures"),
        shell:
            "training-maps figures --results {params.results:q} --time {params.time}"
            " {params.settings:q} {params.no_halves:q} {params.no_layers:q}"
            " --output {params.figures:q} --log {log:q}"


rule report:
    input:
        ask(Jobs.analysis),
        "<results>/{experiment}/summary.json",
        ask(Jobs.training_logs),
        ask(Jobs.layers),
        beside=analysis_beside,
    output:
        "<results>/{experiment}/report.html",
    log:
        "<results>/{experiment}/logs/report.log",
    benchmark:
        "<results>/{experiment}/benchmarks/report.jsonl"
    threads: 1
    params:
        results=subpath(input[0], parent=True),
        time=ask(Jobs.setting, "training", "unit"),
        settings=ask(Jobs.as_json),
        experiment=ask(Jobs.name_in_config),
        beside=folder_beside,
        code=stage_digest("report"),
    shell:
        "training-maps report --results {params.results:q} --time {params.time}"
        " --experiment {params.experiment:q} --settings {params.settings:q}"
        " {params.beside:q} --output {output:q} --log {log:q}"


rule compare:
    input:
        summaries=expand("<results>/{experiment}/summary.json", experiment=EXPERIMENTS),
        analyses=of_all(Jobs.analysis),
        logs=of_all(Jobs.training_logs),
    output:
        csv=report(
            "<results>/comparison.csv",
            caption="../report/comparison.rst",
            category="Comparison",
            labels={"shows": "All experiments", "kind": "table"},
        ),
        html="<results>/comparison.html",
    log:
        "<results>/logs/compare.log",
    benchmark:
        "<results>/benchmarks/compare.jsonl"
    threads: 1
    params:
        about=verbatim(json.dumps({name: jobs.about() for name, jobs in JOBS.items()})),
        code=stage_digest("compare"),
    shell:
        "training-maps compare --summaries {input.summaries:q} --about {params.about:q}"
        " --csv {output.csv:q} --html {output.html:q} --log {log:q}"
