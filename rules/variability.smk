"""Light curves, variability and ESE candidates.

Reads the photometry of all mosaics of the plan; writes normalised light curves, one row of
statistics a source, and the ranked candidates.
"""


rule normalise_lightcurves:
    input:
        photometry=photometry_tables(),
        records=photometry_records(),
    output:
        table=p("lightcurves"),
        epochs=p("epochs"),
        plot=report(
            p("lightcurves_plot"),
            caption="captions/lightcurves.rst",
            category="Light curves",
        ),
        record=p("lightcurves_record"),
    log:
        log_of("normalise_lightcurves", "lightcurves"),
    benchmark:
        benchmark_of("normalise_lightcurves", "lightcurves")
    conda:
        "../envs/variability.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 3000,
        runtime=lambda wildcards, attempt: attempt * 30,
    params:
        flags=flags(CONFIG, "lightcurves"),
        code=code("lightcurves"),
    shell:
        "contimg lightcurves --table {output.table} --epochs {output.epochs}"
        " --plot {output.plot} --record {output.record} {params.flags}"
        " --photometry {input.photometry} --photometry-records {input.records} > {log} 2>&1"


rule find_variables:
    input:
        lightcurves=p("lightcurves"),
        record=p("lightcurves_record"),
        catalog=CONFIG.catalog,
    output:
        sources=p("sources"),
        candidates=report(
            p("candidates"),
            caption="captions/candidates.rst",
            category="ESE candidates",
        ),
        ecsv=p("candidates_ecsv"),
        vot=p("candidates_vot"),
        plot=report(
            p("candidates_plot"),
            caption="captions/candidates_plot.rst",
            category="ESE candidates",
        ),
        record=p("variability_record"),
    log:
        log_of("find_variables", "variability"),
    benchmark:
        benchmark_of("find_variables", "variability")
    conda:
        "../envs/variability.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 3000,
        runtime=lambda wildcards, attempt: attempt * 60,
    params:
        flags=flags(CONFIG, "variability"),
        code=code("variability"),
    shell:
        "contimg variability --lightcurves {input.lightcurves}"
        " --lightcurves-record {input.record} --catalog {input.catalog}"
        " --sources {output.sources} --candidates {output.candidates}"
        " --candidates-ecsv {output.ecsv} --candidates-vot {output.vot}"
        " --plot {output.plot} --record {output.record} {params.flags} > {log} 2>&1"
