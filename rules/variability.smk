"""Light curves, variability and ESE candidates.

Reads the photometry of all mosaics of the plan; writes normalised light curves, one row of
statistics a source, the ranked candidates, what the search can find, and alert packets. Packets
are never rewritten: the folder of alerts tells what has been sent, so it is no output of the rule.
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
        **depends_on("lightcurves"),
        folder=Unwatched(f"{RESULTS}/photometry"),
        plan=Unwatched(PLAN_FILE),
        others=other_photometry,
        flags=flags_of("lightcurves"),
    shell:
        "contimg lightcurves --table {output.table:q} --epochs {output.epochs:q}"
        " --plot {output.plot:q} --record {output.record:q} {params.flags}"
        " --photometry {params.folder:q} --plan {params.plan:q} > {log:q} 2>&1"


rule find_variables:
    input:
        lightcurves=p("lightcurves"),
        record=p("lightcurves_record"),
        targets=table_input(CONFIG.targets),
    output:
        sources=p("sources"),
        candidates=report(
            p("candidates"),
            caption="captions/candidates.rst",
            category="ESE candidates",
        ),
        ecsv=p("candidates_ecsv"),
        vot=p("candidates_vot"),
        completeness=p("completeness"),
        false_alarms=p("false_alarms"),
        search_plot=report(
            p("search_plot"),
            caption="captions/search_plot.rst",
            category="ESE candidates",
        ),
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
    threads: 2
    resources:
        # 7 GB for 100,000 light curves of 1,000 epochs, 1.7 GB in the table
        mem_mb=lambda wildcards, input, attempt: (
            attempt * max(3000, int(2000 + 4 * input.size_mb))
        ),
        runtime=lambda wildcards, attempt: attempt * 60,
    params:
        **depends_on("variability"),
        targets=lambda w: table_content(CONFIG.targets),
        alerts=Unwatched(f"{RESULTS}/variability/alerts"),
        photometry=Unwatched(f"{RESULTS}/photometry"),
        flags=flags_of("variability"),
    shell:
        "contimg variability --lightcurves {input.lightcurves:q}"
        " --lightcurves-record {input.record:q} --catalog {input.targets:q}"
        " --photometry {params.photometry:q}"
        " --sources {output.sources:q} --candidates {output.candidates:q}"
        " --candidates-ecsv {output.ecsv:q} --candidates-vot {output.vot:q}"
        " --completeness {output.completeness:q} --false-alarms {output.false_alarms:q}"
        " --search-plot {output.search_plot:q} --alerts {params.alerts:q}"
        " --plot {output.plot:q} --record {output.record:q} --threads {threads}"
        " {params.flags} > {log:q} 2>&1"
