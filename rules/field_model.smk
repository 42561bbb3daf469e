"""The model of the field below the catalogue's limit.

Reads the deep mosaics of a window of days and of a declination strip (plan.deep_days), which are
made as all mosaics are, and the table of the window before; writes what they show and the
catalogue lacks, as a source table. The fits of later windows take the newest one that ended
before them. `snakemake field_models` makes those of all windows, the last one included.
"""


localrules:
    field_models,


rule field_models:
    input:
        [path("deep_model", RESULTS, deep=name) for name in PLAN.get("deep_models", {})],


rule model_field:
    input:
        images=deep_paths("mosaic"),
        rms=deep_paths("mosaic_rms"),
        records=deep_paths("mosaic_record"),
        catalog=table_input(CONFIG.field_model),
        previous=previous_deep_model,
    output:
        table=p("deep_model"),
        record=p("deep_model_record"),
    log:
        log_of("model_field", "{deep}"),
    benchmark:
        benchmark_of("model_field", "{deep}")
    conda:
        "../envs/photometry.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 3000,
        runtime=lambda wildcards, attempt: attempt * 30,
    params:
        **depends_on("field-model"),
        field=field_model,
        flags=flags_of("field-model"),
    shell:
        "contimg field-model --images {input.images:q} --rms {input.rms:q}"
        " --mosaic-records {input.records:q} --catalog {input.catalog:q}"
        " --previous {input.previous:q} --table {output.table:q} --record {output.record:q}"
        " {params.flags} > {log:q} 2>&1"
