# What people look at: figures, the report, the summary and the comparison of experiments. Outputs in
# report(...) are shown by Snakemake's own report: `snakemake --report report.html`.


include: "report_common.smk"


report: "../report/workflow.rst"


rule summary:
    input:
        analysis,
    output:
        "<results>/{experiment}/summary.json",
    log:
        "<results>/{experiment}/logs/summary.log",
    benchmark:
        "<results>/{experiment}/benchmarks/summary.jsonl"
    threads: 1
    params:
        results=subpath(input[0], parent=True),
        code=stage_digest("summary"),
    shell:
        "training-maps summary --results {params.results:q} --experiment {wildcards.experiment:q}"
        " --output {output:q} --log {log:q}"


# A rule's outputs are the same whatever its wildcards, so those who ask for other files have another rule.
for number, (files, experiments) in enumerate(alike_in_figures().items()):

    rule:
        name:
            f"figures_{number}" if number else "figures"
        input:
            analysis,
            "<results>/{experiment}/summary.json",
            all_training_logs,
            metrics_if_any,
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
            time=setting("training", "unit"),
            formats=setting("figures", "formats"),
            widths=setting("figures", "widths"),
            code=stage_digest("figures"),
        shell:
            "training-maps figures --results {params.results:q} --time {params.time}"
            " --formats {params.formats} --widths {params.widths}"
            " --output {params.figures:q} --log {log:q}"


rule report:
    input:
        analysis,
        "<results>/{experiment}/summary.json",
        all_training_logs,
    output:
        "<results>/{experiment}/report.html",
    log:
        "<results>/{experiment}/logs/report.log",
    benchmark:
        "<results>/{experiment}/benchmarks/report.jsonl"
    threads: 1
    params:
        results=subpath(input[0], parent=True),
        time=setting("training", "unit"),
        settings=experiment_settings,
        experiment=called,
        code=stage_digest("report"),
    shell:
        "training-maps report --results {params.results:q} --time {params.time}"
        " --experiment {params.experiment:q} --settings {params.settings:q} --output {output:q} --log {log:q}"


rule compare:
    input:
        summaries=expand("<results>/{experiment}/summary.json", experiment=EXPERIMENTS),
        analyses=sum(map(analysis_of, EXPERIMENTS), []),
        logs=sum(map(logs_of, EXPERIMENTS), []),
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
        about=verbatim(json.dumps(known_of_experiments())),
        code=stage_digest("compare"),
    shell:
        "training-maps compare --summaries {input.summaries:q} --about {params.about:q}"
        " --csv {output.csv:q} --html {output.html:q} --log {log:q}"
