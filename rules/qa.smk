"""Checks against what is known from elsewhere.

Reads the photometry of all mosaics and the table of expected flux densities and positions that
the config names (qa.expected); writes the comparison.
"""

if CONFIG.qa.expected is not None:

    rule check_fluxes:
        input:
            expected=str(CONFIG.qa.expected),
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
            code=code("check-fluxes"),
        shell:
            "contimg check-fluxes --expected {input.expected} --table {output.table}"
            " --record {output.record} --photometry {input.photometry}"
            " --photometry-records {input.records} > {log} 2>&1"
