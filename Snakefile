# training-maps: from seeds to a training map. `snakemake --cores all` runs everything below for the
# experiments named in config.yaml; a rule's command is `training-maps RULE`.

from snakemake.utils import min_version

min_version("9.20")


# Reads and checks config.yaml.
include: "workflow/rules/common.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/metrics.smk"
include: "workflow/rules/hub.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/hmm.smk"
include: "workflow/rules/reproducibility.smk"
include: "workflow/rules/training_map.smk"
include: "workflow/rules/sensitivity.smk"
include: "workflow/rules/state_paths.smk"
include: "workflow/rules/report.smk"


localrules:
    all,
    fetch,
    fetch_dataset,
    observations,
    compare,


rule all:
    default_target: True
    input:
        of_all(Jobs.everything),
        "<results>/comparison.csv",
        "<results>/comparison.html",


onstart:
    take_results()
    count_results_as_old()


onsuccess:
    show_summaries()
