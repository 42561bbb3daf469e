"""Checks against what is known from elsewhere, and of all tiles together.

Reads the photometry of all mosaics and the table of expected flux densities and positions that
the config names (check.expected); writes the comparison. Reads the records of all images; writes
the sources that no catalogue has and the dish diameter that the flux densities prefer.
"""


rule list_unknown:
    input:
        records=image_records(),
    output:
        table=p("unknown"),
        record=p("unknown_record"),
    log:
        log_of("list_unknown", "unknown"),
    benchmark:
        benchmark_of("list_unknown", "unknown")
    conda:
        "../envs/photometry.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        **depends_on("unknown"),
        folder=Unwatched(f"{RESULTS}/images"),
        tier=TIER,
        others=other_images,
        flags=flags_of("unknown"),
    shell:
        "contimg unknown --tier {params.tier} --table {output.table:q} --record {output.record:q}"
        " {params.flags} --records {params.folder:q} > {log:q} 2>&1"


rule fit_beam:
    input:
        records=image_records(),
    output:
        table=p("beam"),
        record=p("beam_record"),
    log:
        log_of("fit_beam", "beam"),
    benchmark:
        benchmark_of("fit_beam", "beam")
    conda:
        "../envs/photometry.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        **depends_on("beam"),
        folder=Unwatched(f"{RESULTS}/images"),
        tier=TIER,
        others=other_images,
        flags=flags_of("beam"),
    shell:
        "contimg beam --tier {params.tier} --table {output.table:q} --record {output.record:q}"
        " {params.flags} --records {params.folder:q} > {log:q} 2>&1"


if CONFIG.check.expected is not None:

    rule check_fluxes:
        input:
            expected=str(CONFIG.check.expected),
            photometry=photometry_tables(),
            records=photometry_records(),
        output:
            table=p("expected"),
            record=p("expected_record"),
        log:
            log_of("check_fluxes", "expected"),
        benchmark:
            benchmark_of("check_fluxes", "expected")
        conda:
            "../envs/photometry.yaml"
        threads: 1
        resources:
            mem_mb=1500,
            runtime=10,
        params:
            **depends_on("check-fluxes"),
        shell:
            "contimg check-fluxes --expected {input.expected:q} --table {output.table:q}"
            " --record {output.record:q} --photometry {input.photometry:q}"
            " --photometry-records {input.records:q} > {log:q} 2>&1"


if CONFIG.simulate.enabled:

    rule compare_truth:
        input:
            truth=p("truth"),
            photometry=photometry_tables(),
            lightcurves=p("lightcurves"),
            sources=p("sources"),
            candidates=p("candidates"),
            record=p("variability_record"),
        output:
            table=p("comparison"),
            record=p("comparison_record"),
        log:
            log_of("compare_truth", "comparison"),
        benchmark:
            benchmark_of("compare_truth", "comparison")
        conda:
            "../envs/simulate.yaml"
        threads: 1
        resources:
            mem_mb=1500,
            runtime=10,
        params:
            **depends_on("compare-truth"),
            flags=flags_of("compare-truth"),
        shell:
            "contimg compare-truth --truth {input.truth:q}"
            " --lightcurves {input.lightcurves:q} --sources {input.sources:q}"
            " --candidates {input.candidates:q} --photometry {input.photometry:q}"
            " --table {output.table:q} --record {output.record:q} {params.flags} > {log:q} 2>&1"
